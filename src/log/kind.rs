//! The kinds of events: level, and the fixed id under which the journal and its catalog know each.

/// How important an event is; [`Level::Error`] is the least value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warning,
    /// What an administrator wants to know: on with `--log`.
    Info,
    /// On with `--verbose`; written as `info`.
    Verbose,
    /// On with `--verbose` given twice; written as `info`.
    Extra,
    /// On with `--debug`; never sent to syslog.
    Debug,
}

impl Level {
    /// The word in a log line.
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info | Level::Verbose | Level::Extra => "info",
            Level::Debug => "debug",
        }
    }
}

/// One kind of event.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// `MESSAGE_ID=` in the journal: 128 bits, fixed for ever, explained in `systemd/emailrelay.catalog`.
    pub id: &'static str,
    /// The name of the constant.
    pub name: &'static str,
    /// How important it is.
    pub level: Level,
    /// Can a peer cause it as often as it likes? Then repetitions are folded.
    pub by_peer: bool,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal, $level:ident $($peer:ident)?;)+) => {
        $($(#[doc = $doc])+
        pub const $name: &Kind =
            &Kind { id: $id, name: stringify!($name), level: Level::$level, by_peer: kinds!(@by $($peer)?) };)+

        /// Every kind there is.
        pub const ALL: &[&Kind] = &[$($name),+];
    };
    (@by peer) => { true };
    (@by) => { false };
}

kinds! {
    // Start
    /// A server listens on an address.
    LISTENING = "5cb51ebd8e9f4cbcb7a1a2645424dcab", Info;
    /// An address of a named interface appeared and is served.
    LISTENER_NEW = "03369fbec57948e0ae2810dfbca5bc14", Info;
    /// An address of a named interface vanished.
    LISTENER_GONE = "67a1f4d5211d43709e5da9c7a6ab6264", Info;
    /// A new address of a named interface cannot be bound.
    LISTENER_FAILED = "b0a5339f52994f8bbf85fa9036055145", Verbose;
    /// A named interface has no address.
    NO_ADDRESSES = "354c8dfaca0543bca6520ea49858359d", Warning;
    /// All interfaces of a server are without addresses.
    WAITING_FOR_INTERFACE = "3d1ad52de5624d8486816c5e057db079", Warning;
    /// The configured next hop.
    FORWARDING_TO = "40fc91250de5465bb93614577facb420", Verbose;
    /// The spool directory cannot be written.
    DIRECTORY_NOT_WRITABLE = "1add8ca636d54f57bb44b72b75b9b8f8", Warning;
    /// The next hop's name does not resolve.
    NEXT_HOP_UNRESOLVED = "2012216870e547cca2e7b560901e6323", Warning;
    /// Something in the configuration deserves a look.
    CONFIGURATION = "6256235fa04b40a4a28daa4ca134b1f8", Warning;
    /// `--user root` was given.
    RUNNING_AS_ROOT = "b4a46b3f60594df790e5c274e5f51edb", Warning;
    /// The process holds capabilities that it does not need.
    CAPABILITIES = "b3498cc52bc0467b976fa44ac77e1cde", Warning;
    /// The program cannot start or go on.
    FATAL = "37cb06e028ca4c28af5646cd9e827a0d", Error;

    // Process
    /// A stop was asked for.
    SHUTTING_DOWN = "e83916cc93a7406e89895fab5a0cd58f", Info;
    /// Everything is put away; the program ends.
    SHUTDOWN_COMPLETE = "50808c3fab6d4ecfb051532f7ec2f560", Info;
    /// The stop timeout ended sessions.
    STOP_FORCED = "70b55774ce9f40f78bc455e7ba3e3654", Warning;
    /// Nothing to do for long; the program ends until it is needed.
    IDLE_EXIT = "0fc972d80ede42888cb40b1142d8ed9a", Info;
    /// The configuration was read again.
    RELOADED = "7fafedc8f42e4956b83eeb58013c1bd0", Info;
    /// A reload failed; the old configuration stays.
    RELOAD_FAILED = "64ad39bcb7f8450d9cbcb31117199b2e", Error;
    /// A changed option needs a restart.
    RELOAD_PARTIAL = "8d25d66a3c014b4e8401606a05c9d6bf", Warning;
    /// A status line, on request.
    STATUS = "ab409c1068724481b0e4e5c73eab93f3", Info;
    /// Descriptors ran out; accepting pauses.
    TOO_MANY_FILES = "33c15bc4d08946f1bd802b35e5d96193", Warning;
    /// Descriptors are free again.
    ACCEPTING_RESUMED = "b2e66ea6e2f641fd88dafe0ee9e4de8b", Info;
    /// accept() failed for another reason.
    ACCEPT_FAILED = "9ff8bda328844da3a3d02e54a1446693", Warning;
    /// A session ended by a programming error.
    BUG = "60180374fed347e1a49a4bcaaa9ff2f3", Error;
    /// Log files were closed and opened.
    LOG_REOPENED = "d2e5323e36f24289ab90ff9ecb57f88c", Verbose;
    /// The log file cannot be opened.
    LOG_FILE_FAILED = "f7dd0771321d480c8099fa270360abf6", Error;
    /// Log lines were lost.
    LINES_LOST = "7def0c8b6fb84857b7f509f8aff43eeb", Warning;
    /// Lines that a peer causes at will were folded.
    REPEATED = "9ae4e56c387b4368ac0223efd738b139", Warning;

    // SMTP server
    /// A client connected.
    CONNECTED = "ee4aa1dc3f16446f9c3e9a02caf969b6", Info;
    /// A client's connection ended.
    DISCONNECTED = "14384a731bc24c0d828484100129708d", Info;
    /// A remote client was refused by address.
    NOT_LOCAL = "be3988f7ed394219ac404b3417608c25", Warning peer;
    /// A connection was refused.
    REJECTED = "497e5c58bb664ee8958b2f94933bdbe2", Warning peer;
    /// The limit of connections is reached.
    TOO_MANY_CONNECTIONS = "4aeb4238ddc8429bac30c732ffbeff08", Warning peer;
    /// One address has too many connections.
    TOO_MANY_FROM_ADDRESS = "92e1c7106873469bafc11e8e7ead7a78", Warning peer;
    /// A client was sent away because the server is disabled.
    SERVER_DISABLED = "ee2db5325ca3473c90205ca8a07315eb", Verbose;
    /// A line of a protocol dialogue.
    TRACE = "ed453f3132fa496890c008ef1ff466c5", Verbose;
    /// Another detail of a session.
    SESSION_NOTE = "1937985f4f39407cb41d44b0924051d1", Verbose;
    /// Another irregularity of a session.
    SESSION_WARNING = "44c179ad832a4c33ade188555efed6c7", Warning peer;
    /// A very long line came in.
    LONG_LINE = "7c495a7e8d8349e38131568c405e3c2f", Warning peer;
    /// A message with an empty return path.
    NULL_RETURN_PATH = "9e509e1896394025852bbf6d39223a86", Warning peer;
    /// A client's address syntax is wrong.
    BAD_SYNTAX = "0510cf01457b4831a2d6a7abd91fb656", Warning peer;
    /// A message exceeds `--size`.
    TOO_BIG = "d0823744a24c4484854acb1a05f776eb", Warning peer;
    /// A message was refused for its bare line ends.
    BARE_LINE_ENDS = "3234a59a5f3f4125a80bfac781a35a0e", Warning peer;
    /// A message went over the limit of recipients.
    TOO_MANY_RECIPIENTS = "c24cf80f446142479551db90aeebcce9", Warning peer;
    /// A client tried AUTH although it is not offered.
    AUTH_NOT_OFFERED = "39490d8dbc3045f89c2ebf9a9aa33fc4", Warning peer;
    /// A TLS handshake came on a port without implicit TLS.
    TLS_HELLO = "b53903399c5a451bbe3b3c68b8e27b96", Warning peer;
    /// The verifier refused a recipient.
    RECIPIENT_REJECTED = "9f24a24959744b56ad1bb628c72b0f7a", Warning peer;
    /// A verifier is asked about an address.
    VERIFIER_ASKED = "272aec5536099bec8edb6fc2af00d886", Verbose;
    /// A verifier has answered.
    VERIFIER_ANSWERED = "e8e9962a9b81db56e404bd292a570b18", Verbose;
    /// A verifier could not be asked.
    VERIFIER_FAULT = "702f500809160d89c5ef909fca770c32", Warning peer;
    /// A verifier gave an answer that must not be used.
    VERIFIER_BAD_ANSWER = "972869def47083ff4ff369b0b9b596d0", Warning peer;
    /// A content file was made.
    CONTENT_FILE = "7a4fa94883644055977a3e035aa24a18", Verbose;
    /// An envelope file was made.
    ENVELOPE_FILE = "8a96ccb9e3ce4a859987d437e8051526", Verbose;
    /// Content could not be written.
    SAVE_FAILED = "d51462edbcac4fb1bdef9365103ee783", Warning;
    /// A message could not be stored or filtered.
    PROCESSING_FAILED = "b38bfe7d31bb486995f53877248fa3a5", Warning;
    /// The client left before it saw our reply.
    CLIENT_GONE = "3162d915bcde42ad88d8bff8cc531726", Info;
    /// A message is durable and acknowledged.
    STORED = "c7eb573000854676b88d35035f337bf8", Info;

    // Filters
    /// A message comes to the filters, or what a program wrote.
    FILTER_DETAIL = "27b6100a1f234199bb2726f0c026d8d7", Extra;
    /// A filter program is run.
    FILTER_RUNNING = "2e306d198ec14f2c9b8918105cec152c", Verbose;
    /// A filter program wants the message left alone.
    FILTER_ABANDONED = "25c087279fc54dab97b9d5ca011e519f", Verbose;
    /// A filter program ended with a code for failure.
    FILTER_EXIT = "f5e42ddfbb3140d78979e72cca0f0a42", Warning;
    /// A filter program took too long.
    FILTER_TIMEOUT = "c64ad80497ca4888a9915ec615017be1", Warning;
    /// The verdict of the filters on a message.
    FILTER_VERDICT = "43a3df4b06af4c12ac4133fb6677847e", Verbose;
    /// A message was refused to the client for a filter.
    FILTER_REJECTED = "aed5faf78f1b47e9bd662d46aee068ea", Info;
    /// A message could not be filtered.
    FILTER_EXCEPTION = "fb2820791d114d7d933c9892843999cc", Warning;
    /// A network filter cannot be used.
    FILTER_FAULT = "d74c374c50974bfa8eea52eb89ff8209", Warning;
    /// Filters behind one that abandoned the message were skipped.
    FILTERS_SKIPPED = "f52b5029d4134ab5bff0c1b160156df8", Warning;
    /// A filter has spoilt the files of a message.
    FILTER_INVALID_FILES = "8ba7dcd481784352b355aa12c273cfeb", Error;
    /// A program that was told to end takes its time.
    FILTER_KILLED = "8f99619a650149aeaf8afc9040dba90b", Verbose;

    // Logins
    /// A client has logged in.
    LOGIN = "7cd5a3ee1f4447f79cb5f886b3bfd40d", Verbose;
    /// A login was refused.
    LOGIN_FAILED = "abc1c7d9984742f293589a9d33b2aa26", Warning;
    /// An address failed to log in too often.
    LOGIN_THROTTLED = "4d313e92b5be41428f37d9a0a617ef2e", Warning;
    /// Passwords may come in clear over the network.
    LOGIN_EXPOSED = "3b497ace543a41dc97dbe9df026ac5fd", Warning;
    /// A login has waited too long for its password to be looked at.
    LOGIN_CROWDED = "b231121c3165446f99a5fca2fac118dc", Warning;
    /// PAM does not let a user in, or cannot say.
    PAM_ERROR = "8e4d294e1c95478ba7abd7f7ac13fd81", Warning;
    /// A changed secrets file is in use.
    SECRETS_READ = "4159185e5e974085a99b47e33ffc7c5c", Info;
    /// Something in a secrets file deserves a look.
    SECRETS_WARNING = "70c6e846a33e49029dd6a463ae6dd1ca", Warning;
    /// A line of a secrets file is wrong.
    SECRETS_ERROR = "129719ec2138470ab3ab0ca478ad85fe", Error;
    /// A changed secrets file is not used.
    SECRETS_KEPT = "95eddb7fae08409aaa98bb3a6bb38f1d", Error;
    /// A secrets file cannot be read any more.
    SECRETS_GONE = "20c352141fe943ff87f3fcc5805ed93f", Warning;
    /// A client uses AUTH wrongly.
    AUTH_MISUSE = "959f69b3fef74c2d83935b7b2ec37421", Warning peer;
    /// Whether an address is trusted.
    AUTH_TRUST = "7b17b9c4235c41e0853449568c9ee055", Verbose;

    // POP server
    /// Where the accounts of POP users are.
    POP_ACCOUNTS = "e45558a812b2493497c352755dd93689", Info;
    /// A POP user has logged in.
    POP_LOGIN = "ed3b19970a574b43b6e44f98584a7142", Info;
    /// An address is not served because it has failed to log in too often.
    POP_BLOCKED = "1d789560c131429eb2e6fe241b85e3a5", Warning peer;
    /// A mailbox was made.
    POP_MAILBOX_CREATED = "880878ee062643018f451517a0935d93", Verbose;
    /// A mailbox cannot be used.
    MAILBOX_NOT_ACCESSIBLE = "2d57d746e2f34e7481347f85728054b8", Warning;
    /// A mailbox could not be opened for its user.
    MAILBOX_UNAVAILABLE = "23ee08277b1c4c62b009b66e7906bc7c", Warning;
    /// A message changed while it was listed.
    MESSAGE_CHANGED = "4f84352b99164e779742f09c7ed5cf14", Verbose;
    /// A message cannot be read.
    MESSAGE_UNREADABLE = "eff1579cb49e48fbb2c7f4c8d0928ed4", Error;
    /// A message could not be deleted.
    POP_DELETE_FAILED = "5e7567a3dd9e473cafe59f29b10f6ae2", Error;
    /// What a POP session has done.
    POP_DONE = "7327549da3fc4335b458906b37fdb94d", Verbose;
    /// Bytes in clear came behind the command that begins encryption.
    PLAINTEXT_BEHIND = "9dd033644d3a4ab2a1d52b50517dc61e", Warning peer;

    // Mailboxes and routing
    /// A copy of a message went to a mailbox.
    DELIVERED = "6bfcb46f9756b085a1b43f5c3a866009", Verbose;
    /// There are no sub-directories to copy into.
    NO_MAILBOXES = "b5a99d1db22bbe41de251b8c41a301ae", Warning;
    /// A mailbox was made.
    MAILBOX_CREATED = "165bc86ab09934ccb0b04624d1f8e762", Verbose;
    /// A message was split by domains.
    SPLIT = "4f07e2a75f0d75c69b796370daead4e7", Verbose;
    /// The next hop of a message was looked up.
    ROUTED = "19a1ca0b24867521dc293787448cfa28", Verbose;

    // Block lists
    /// What a DNS block list says of a client.
    DNSBL_ANSWER = "ba5df36b271c49e98a94ad113622c2ef", Verbose;
    /// A client was refused because of block lists.
    DNSBL_BLOCKED = "2adc79fc3ca84d4bbec6fbc98aa81cb6", Warning peer;
    /// Block lists did not answer in time.
    DNSBL_TIMEOUT = "5f8bdbe089d84dddba3da9485704fd80", Warning peer;
    /// A block list answers with an error of its own.
    DNSBL_LIST_ERROR = "ff62fda5847f468b9117e67d526cb8f5", Warning peer;

    // Forwarding
    /// A forwarding run starts.
    RUN_STARTED = "e5f2918287244060a2a0549f2c92e243", Verbose;
    /// A forwarding run found nothing.
    RUN_EMPTY = "a494cd09394f4556a59aaca0fc944378", Verbose;
    /// A run has no more messages.
    RUN_FINISHED = "89d66e94b91140acaa7a0031e8d9ed3a", Verbose;
    /// A message is about to be sent.
    MESSAGE_STARTED = "087e25ac92a546948a29aadedfe606a9", Verbose;
    /// A connection carries a message.
    NEXT_HOP_CONNECTED = "13870da7bbf54e1c8ced7484b7ba4ae3", Info;
    /// The next hop does not greet.
    GREETING_TIMEOUT = "4fcced5a231747f3be027f024a81180b", Warning;
    /// The next hop's reply makes no sense here.
    UNEXPECTED_RESPONSE = "d0b02ddf51da4072b92dc9f6a3dfc54c", Warning;
    /// The next hop sent a very long line.
    LONG_REPLY = "4813778cd80047ce9b4bce40c5c09459", Warning;
    /// A message went to some recipients only.
    SOME_REJECTED = "28fea23980c24e0bbae27984d5391e17", Warning;
    /// A message cannot be sent to this next hop.
    LOCAL_REFUSAL = "f0071b95d24845a9a4036d4013305163", Warning;
    /// A message is sent without the extension it needs.
    MISSING_EXTENSION = "d456ed9b6c5744f69a03f22c437ef96b", Warning;
    /// The envelope of a forwarded message is removed.
    ENVELOPE_DELETED = "37509e6977dd46378b5ab35d80ec928b", Verbose;
    /// The content of a forwarded message is removed.
    CONTENT_DELETED = "a7139d7cf7914bf0932d1cb83212f56c", Verbose;
    /// An envelope becomes `.bad`.
    ENVELOPE_FAILED = "533b5f4d3bb0479f96489def83438021", Info;
    /// A message has no recipient to forward to.
    NO_RECIPIENTS = "bb6da932073642f8a7e4f3dc88f7208d", Warning;
    /// A session with the next hop failed.
    CLIENT_ERROR = "096fb9e3fe504cac9cfbfc464a375eb3", Warning;
    /// A run ended by an error.
    RUN_ERROR = "578fdc7ab53545ad84de25d9ee21c7b9", Error;
    /// A run could not be started.
    RUN_FAILURE = "5b535ab5f54e471596dc81bfd050d88e", Error;
    /// A message went to the next hop.
    FORWARDED = "aab745b98d564c81bd6929bfa1480892", Info;
    /// A message failed for good.
    FAILED = "da75b02b970b4b588f7925933a7ac2bb", Warning;
    /// A message could not be sent now and waits.
    DEFERRED = "e2a0a308b2824c96bc4c59f984f93e72", Info;
    /// The connection broke between the final dot and the reply.
    IN_DOUBT = "7e9733363cff44c4957ec08bcbde7a71", Warning;
    /// Recipients were refused for good while others of their message wait.
    SET_ASIDE = "f52e2ad84ddf4a23bf5cbb7fe637ab19", Info;
    /// A message was given back to the client that waited for it to be sent on.
    HANDED_BACK = "3c85e08d7d634263b01aa7e4a2d42fab", Info;
    /// A next hop is left alone for a while.
    BACK_OFF = "09aac6d18bd24794a0e7990d13d8d298", Verbose;
    /// We have logged in at a next hop.
    LOGGED_IN = "08afbffc61624307aaa61913ba371c85", Verbose;
    /// A next hop refused a mechanism; another is tried.
    LOGIN_RETRIED = "c0a2a78ca69a4626a4d71fb18c3185b5", Verbose;
    /// A password goes to a next hop unencrypted.
    SECRET_IN_CLEAR = "1223244e325643b9b6dd8527ce9dd361", Warning;

    // Spool
    /// Another process has the message.
    LOCK_FAILED = "d370f8b272ff4a33b0d57b64f065bc4d", Debug;
    /// An envelope cannot be used.
    IGNORED = "20e9f0c2059b4b5a960dadb8a6a8734e", Warning;
    /// The reason of a failure could not be written.
    REASON_LOST = "5a0a441de32341c6a7fb502ff19f0762", Error;
    /// A file of a sent message cannot be deleted.
    DELETE_FAILED = "037537b5a44543dc80bc4b9ca45be7f3", Warning;
    /// A message left locked by a dead process is free again.
    RECOVERED = "5d508047ac924085980ff5df05aac301", Warning;
    /// A left-over file was removed.
    SWEPT = "5c4a0c977d5f43d2b79fedc1620e1b7b", Warning;
    /// There are left-over files.
    ORPHANS = "bb30bf22678b40789cbece67a76f720b", Warning;
    /// The disk did not confirm a write.
    SYNC_FAILED = "925b6ddfe02d4a4894cf83fff753c0eb", Error;
    /// A spool operation failed.
    STORE_FAILED = "8f77d945f2d547949490c75d0c8b252d", Error;

    // Administration
    /// A local user may not administer.
    ADMIN_REFUSED = "df4f749555b8429a98330e1b777d6276", Warning peer;
    /// An administrator did something.
    ADMIN_ACTION = "c3b577c315fd4035bd5dc7cd81fa1826", Info;
    /// All failed messages are tried again.
    UNFAILED = "ce5c055002de457db49cdc6373426f2c", Verbose;
    /// The SMTP server was switched on or off.
    SMTP_SWITCHED = "808f74b7244344ccb55619a7bde98c27", Info;
    /// DNS block lists were switched on or off.
    DNSBL_SWITCHED = "acac534733ae421ab1dd00e54f7b3b93", Verbose;
    /// An administrator ends the program.
    TERMINATE = "438bd288830343b081a067f5b49742f6", Info;
    /// The spool directory cannot be watched.
    SPOOL_NOT_WATCHED = "3bd4cf14217a4198ba2a524e392d43b3", Warning;

    // TLS
    /// A connection is secure.
    TLS_ESTABLISHED = "1d157d3446384605ba828a39bd2abc57", Verbose;
    /// A TLS handshake failed, or a secure connection broke in a message.
    TLS_FAILED = "d8c46b9be9234a1da6e8081198b8fa2b", Warning peer;
    /// A secure connection was closed without notice between messages.
    TLS_NO_CLOSE_NOTIFY = "f82d02021728467c830a18883dc04641", Verbose;
    /// Bytes in clear came behind STARTTLS.
    TLS_PLAINTEXT = "af15fc543b8e48cc8bb2b2625a6d9fa7", Warning peer;
    /// The name in a server's certificate was looked at.
    TLS_NAME_CHECKED = "b07b062bb3b9479fbc5ca5147ddc9914", Verbose;
    /// A server's certificate is not good, and is used all the same.
    TLS_NOT_VERIFIED = "91952a4528f74af2ba70b147c56e385e", Warning;
    /// A certificate is out of date or soon will be.
    TLS_EXPIRING = "dd4cc31b789d4695ace1a35f4c803897", Warning;
    /// Renewed certificate files are in use.
    TLS_RELOADED = "75083b44cd15473fb5971f066f74b48c", Info;
    /// Renewed certificate files cannot be used.
    TLS_RELOAD_FAILED = "46d30a1af7eb40bbb2b6eed2f123d2a2", Error;

    // Reports to senders
    /// A report is on its way to a sender.
    REPORTED = "6d0150032299469884539ea66c3ffd23", Info;
    /// A failed message is reported to nobody.
    NOT_REPORTED = "ddcd7cfb7f6f4d2993968f87f022a666", Warning;
    /// A message has waited too long, whether it was tried or not.
    GIVEN_UP = "974accac4d2044119515fb8fa3d20a97", Warning;
    /// A report could not be made.
    REPORT_FAILED = "02de94d2e86c4ab19f0b39bfafbdd3d8", Error;
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let ids: BTreeSet<&str> = ALL.iter().map(|kind| kind.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for id in ids {
            assert_eq!(id.len(), 32, "{id}");
            assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{id}");
        }
    }

    /// systemd's message catalog: each entry starts with `-- ID`, then header lines, a blank line, and text.
    #[test]
    fn the_catalog_explains_every_kind_and_nothing_else() {
        let catalog = include_str!("../../systemd/emailrelay.catalog");
        let mut entries: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut current = None;
        for line in catalog.lines().filter(|line| !line.starts_with('#')) {
            if let Some(id) = line.strip_prefix("-- ") {
                assert!(entries.insert(id, Vec::new()).is_none(), "{id} appears twice");
                current = Some(id);
            } else if let Some(id) = current {
                entries.get_mut(id).expect("entry").push(line);
            }
        }
        for kind in ALL {
            let lines = entries.remove(kind.id).unwrap_or_else(|| panic!("{} has no entry", kind.name));
            assert!(lines[0].starts_with("Subject: "), "{}", kind.name);
            assert_eq!(lines[1], "Defined-By: E-MailRelay", "{}", kind.name);
            assert_eq!(lines[2], "", "{}", kind.name);
            assert!(lines[3..].iter().any(|line| line.len() > 10), "{} is not explained", kind.name);
        }
        assert!(entries.is_empty(), "entries without a kind: {:?}", entries.keys());
    }
}
