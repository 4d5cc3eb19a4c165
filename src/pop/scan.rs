//! Commands on the open mailbox, and long replies.

use super::command::{Command, Verb, number};
use super::content::Sender;
use super::event::{CloseReason, Event};
use super::limits::BLOCK;
use super::maildrop::{List, Listing, Open};
use super::output::Output;
use super::question::{Block, Question};
use super::session::{Asked, Session};
use super::{reply, trace};

impl Session {
    pub(super) fn transaction(&mut self, verb: Verb, command: &Command<'_>) {
        let Some(open) = self.open.as_deref_mut() else { return self.reply(reply::INVALID_COMMAND) };
        let mut words = command.words();
        match verb {
            Verb::Stat => {
                let (count, bytes) = open.totals();
                self.reply(&format!("{} {count} {bytes}", reply::OK));
            }
            Verb::List => self.list(List::Sizes, words.next()),
            Verb::Uidl => self.list(List::Names, words.next()),
            Verb::Retr => self.retrieve(words.next(), None),
            Verb::Top => {
                let index = words.next();
                match words.next().and_then(number) {
                    Some(lines) => self.retrieve(index, Some(lines)),
                    None => self.reply(reply::INVALID_ARGUMENT),
                }
            }
            Verb::Dele => match words.next().and_then(|word| open.find(word)) {
                Some(index) => {
                    open.mark(index);
                    self.reply(reply::OK);
                }
                None => self.reply(reply::INVALID_ID),
            },
            Verb::Noop => self.reply(reply::OK),
            Verb::Rset => {
                open.unmark_all();
                self.reply(reply::OK);
            }
            Verb::Quit if open.marks.count() > 0 => {
                let marks = std::mem::take(&mut open.marks);
                self.ask(Asked::Delete, Question::Delete(marks));
            }
            Verb::Quit => self.farewell(reply::SIGNING_OFF, CloseReason::Quit),
            _ => self.reply(reply::INVALID_COMMAND),
        }
    }

    fn list(&mut self, list: List, word: Option<&[u8]>) {
        let Some(open) = self.open.as_deref() else { return };
        let Some(word) = word else { return self.begin_list(list) };
        match open.find(word).map(|index| open.line(list, index)) {
            Some(line) => self.reply(&format!("{} {line}", reply::OK)),
            None => self.reply(reply::INVALID_ID),
        }
    }

    fn begin_list(&mut self, list: List) {
        let Some(open) = self.open.as_deref() else { return };
        let first = format!("{} {} message(s)", reply::OK, open.totals().0);
        let listing = Listing::new(list, open);
        let shown = trace::sent(first.as_bytes(), 0, listing.total());
        self.listing = Some(Box::new(listing));
        self.queue.send(format!("{first}\r\n"));
        if let Some(event) = shown.filter(|_| self.config.trace) {
            self.log(event);
        }
    }

    /// Queues the next part of a list, if one is being sent.
    pub(super) fn continue_list(&mut self) {
        let (Some(listing), Some(open)) = (self.listing.as_deref_mut(), self.open.as_deref()) else { return };
        let (bytes, events, done) = listing.block(open, self.config.trace);
        self.queue.send(bytes);
        events.into_iter().for_each(|event| self.log(event));
        if done {
            self.listing = None;
            self.end_when_free();
        }
    }

    fn retrieve(&mut self, word: Option<&[u8]>, lines: Option<u32>) {
        let found = self.open.as_deref().zip(word).and_then(|(open, word)| Open::find(open, word));
        match found {
            Some(index) => self.ask(Asked::Open { lines }, Question::Open { index }),
            None => self.reply(reply::INVALID_ID),
        }
    }

    /// The message is open.
    pub(super) fn content(&mut self, size: u64, lines: Option<u32>, block: &Block) {
        match lines {
            None => self.reply(&format!("{} {size} octets", reply::OK)),
            Some(_) => self.reply(reply::OK),
        }
        self.sender = Some(Box::new(Sender::new(lines)));
        self.block(block);
    }

    /// A part of the message has come.
    pub(super) fn block(&mut self, block: &Block) {
        let Some(mut sender) = self.sender.take() else { return };
        let mut out = Vec::new();
        let wanted = sender.feed(block.bytes.get(..BLOCK).unwrap_or(&block.bytes), &mut out);
        if wanted && !block.last {
            self.queue.send(out);
            self.sender = Some(sender);
            self.ask(Asked::More, Question::More);
            return;
        }
        let lines = sender.finish(&mut out);
        self.queue.send(out);
        if !block.last {
            self.queue.push(Output::CloseContent);
        }
        if self.config.trace {
            self.log(Event::TxContent(lines));
            self.log(Event::Tx(reply::END.to_owned()));
        }
        self.end_when_free();
    }

    pub(super) fn message_refused(&mut self, refusal: &str) {
        self.reply(refusal);
        self.end_when_free();
    }
}
