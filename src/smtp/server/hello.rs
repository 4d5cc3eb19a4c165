//! Greeting, EHLO and HELO.

use std::time::Instant;

use super::session::{Session, State};
use crate::smtp::command::trim;
use crate::smtp::extension;
use crate::smtp::received::peer_name;
use crate::smtp::reply::{self, Reply};

use super::limits::MAX_PEER_NAME;

impl Session {
    pub(super) fn greeting(&self) -> Reply {
        if self.config.anonymous.server {
            reply::ANONYMOUS_GREETING
        } else {
            reply::greeting(&self.config.domain, &self.config.product)
        }
    }

    pub(super) fn ehlo(&mut self, argument: &[u8], now: Instant) {
        let reply = self.extensions();
        if self.hello(argument, &reply, now) {
            self.log_out();
        }
    }

    pub(super) fn helo(&mut self, argument: &[u8], now: Instant) {
        self.hello(argument, &reply::HELLO, now);
    }

    /// Both are legal in every state and end the transaction in progress (RFC 5321 §4.1.4). False if refused.
    fn hello(&mut self, argument: &[u8], accepted: &Reply, now: Instant) -> bool {
        let name = trim(argument);
        if name.is_empty() {
            self.reply(&reply::PARAMETER_REQUIRED, now);
            return false;
        }
        if name.len() > MAX_PEER_NAME {
            self.reply(&reply::PARAMETER_TOO_LONG, now);
            return false;
        }
        self.abort();
        self.hello = Some(peer_name(name).into_boxed_str());
        self.state = State::Idle;
        self.finish(accepted, now);
        true
    }

    /// The EHLO reply. The order of its lines is fixed; 8BITMIME is always there and always last.
    fn extensions(&self) -> Reply {
        let config = &self.config;
        let name = if config.anonymous.server { reply::ANONYMOUS_NAME } else { &config.domain };
        let mut lines = vec![reply::says_hello(name)];
        lines.extend(config.max_size.map(|size| format!("{} {size}", extension::SIZE)));
        lines.extend(self.auth_line().map(|names| format!("{} {names}", extension::AUTH)));
        let switched = [
            (extension::STARTTLS, config.starttls && !self.is_secure()),
            (extension::VRFY, !config.anonymous.vrfy),
            (extension::CHUNKING, config.extensions.chunking),
            (extension::BINARYMIME, config.extensions.chunking),
            (extension::PIPELINING, config.extensions.pipelining),
            (extension::SMTPUTF8, config.extensions.smtputf8),
            (extension::ENHANCED_STATUS_CODES, config.extensions.enhanced_status_codes),
            (extension::EIGHT_BIT_MIME, true),
        ];
        lines.extend(switched.into_iter().filter(|(_, on)| *on).map(|(keyword, _)| keyword.to_owned()));
        Reply::lines(250, lines.iter().map(String::as_str))
    }
}
