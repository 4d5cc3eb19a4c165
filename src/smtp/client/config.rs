//! What a session must know before it starts.

use std::time::Duration;

use super::limits::CHUNK_SIZE;

/// Whether a session becomes secure by STARTTLS (RFC 3207).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// It stays as it is.
    #[default]
    Never,
    /// If the server offers it.
    IfOffered,
    /// Or else nothing is sent.
    Required,
}

/// Settings of a client session. Shared by all sessions of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Argument of EHLO and HELO: a host name, or an address literal such as `[127.0.0.1]` when the host has no name
    /// with a dot (RFC 5321 section 4.1.4). Must be free of control characters.
    pub ehlo_name: String,
    /// How long to wait for the greeting before EHLO is sent without it; `None` waits for ever.
    pub prompt_timeout: Option<Duration>,
    /// How long to wait for each reply but the one to the final dot, and for each blocked write of content.
    pub response_timeout: Option<Duration>,
    /// How long to wait for the reply to the final dot. A sender that gives up earlier than 600 s risks doubled mail
    /// (RFC 5321 section 4.5.3.2.6).
    pub final_timeout: Option<Duration>,
    /// How long to wait for the reply to QUIT before closing all the same.
    pub quit_timeout: Duration,
    /// Send commands in groups when the server offers PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// Send content of every kind by BDAT when the server offers CHUNKING (RFC 3030), with a last chunk that is empty: the time in
    /// which it is not known whether the server has the message is that of one short command.
    pub chunking: bool,
    /// Bytes of content in a BDAT chunk.
    pub chunk_size: u64,
    /// Refuse, rather than warn and send, an 8-bit message when the server lacks 8BITMIME (RFC 6152).
    pub eightbit_strict: bool,
    /// Refuse, rather than warn and convert, a binary message when the server lacks BINARYMIME and CHUNKING (RFC 3030).
    pub binarymime_strict: bool,
    /// Refuse, rather than warn and send, a message with UTF-8 addresses when the server lacks SMTPUTF8 (RFC 6531).
    pub smtputf8_strict: bool,
    /// Announce the size, and refuse locally what is over the server's announced limit, when it offers SIZE (RFC 1870).
    pub send_size: bool,
    /// Send to the accepted recipients when others were refused. Otherwise one refusal stops the whole message.
    pub forward_to_some: bool,
    /// Become secure before anything is sent.
    pub starttls: StartTls,
    /// Report every line sent and received as an event.
    pub trace: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            ehlo_name: "localhost".to_owned(),
            prompt_timeout: Some(Duration::from_secs(20)),
            response_timeout: Some(Duration::from_secs(1800)),
            final_timeout: Some(Duration::from_secs(1800)),
            quit_timeout: Duration::from_secs(2),
            pipelining: true,
            chunking: false,
            chunk_size: CHUNK_SIZE,
            eightbit_strict: false,
            binarymime_strict: true,
            smtputf8_strict: true,
            send_size: true,
            forward_to_some: false,
            starttls: StartTls::Never,
            trace: false,
        }
    }
}
