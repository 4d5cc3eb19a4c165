//! Mailboxes: sub-directories in which copies of messages are delivered.

mod name;

pub use name::{InvalidMailbox, MailboxName};
