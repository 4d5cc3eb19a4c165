//! Texts, levels and fields of events.

use std::time::Duration;

use super::*;
use crate::log::kind;

fn id() -> String {
    "emailrelay.1234.1795170487.1".to_owned()
}

fn delivery(reply: &str) -> Delivery {
    Delivery {
        id: id(),
        from: "a@example.com".to_owned(),
        to: ["b@example.com", "c@example.com", "d@example.com"].map(str::to_owned).to_vec(),
        size: 512,
        relay: "198.51.100.2:25".to_owned(),
        reply: reply.to_owned(),
        delay: Duration::from_millis(1234),
    }
}

/// Texts that tools match, word for word.
#[test]
fn texts_are_those_that_tools_know() {
    let listening = |instance: Option<&str>| StartEvent::Listening {
        instance: instance.map(str::to_owned),
        server: Server::Smtp,
        address: "0.0.0.0:25".to_owned(),
    };
    let s = str::to_owned;
    let not_local =
        |ip: &str| ServerEvent::NotLocal { server: Server::Smtp, ip: ip.parse().expect("address") };
    let cases: Vec<(Event, &str)> = vec![
        (listening(None).into(), "smtp server on 0.0.0.0:25"),
        (listening(Some("in")).into(), "[in] smtp server on 0.0.0.0:25"),
        (StartEvent::ForwardingTo { instance: None, address: s("h:25") }.into(), "forwarding to h:25"),
        (
            StartEvent::NoAddresses { interfaces: vec![s("ppp0"), s("eth9")] }.into(),
            "no addresses bound to named network interfaces \"ppp0\", \"eth9\"",
        ),
        (
            StartEvent::WaitingForInterface { server: Server::Smtp, interface: s("ppp0") }.into(),
            "smtp server: nothing to do: waiting for interface \"ppp0\"",
        ),
        (StartEvent::DirectoryNotWritable { path: s("/x") }.into(), "directory not writable: \"/x\""),
        (
            ServerEvent::Connected { server: Server::Smtp, address: s("192.0.2.7:34482") }.into(),
            "smtp connection from 192.0.2.7:34482",
        ),
        (
            ServerEvent::Disconnected {
                server: Server::Smtp,
                reason: s("smtp protocol done"),
                address: s("192.0.2.7:34482"),
            }
            .into(),
            "smtp connection closed: smtp protocol done: 192.0.2.7:34482",
        ),
        (
            ServerEvent::Disconnected { server: Server::Smtp, reason: s(""), address: s("/") }.into(),
            "smtp connection closed: /",
        ),
        (
            not_local("203.0.113.5").into(),
            "configured to reject non-local smtp connection: 203.0.113.5 is not in 127.0.0.0/8, 169.254.0.0/16, \
             10.0.0.0/8, 172.16.0.0/12, or 192.168.0.0/16",
        ),
        (
            not_local("2001:db8::5").into(),
            "configured to reject non-local smtp connection: 2001:db8::5 is not in ::1/128 or fe80::/10 or fc00::/7",
        ),
        (
            ServerEvent::ContentFile { id: id() }.into(),
            "new content file [emailrelay.1234.1795170487.1.content]",
        ),
        (ForwardEvent::RunStarted { reason: s("poll") }.into(), "forwarding: [poll]"),
        (
            ForwardEvent::Connected { address: s("198.51.100.2:25") }.into(),
            "smtp connection to 198.51.100.2:25",
        ),
        (
            ForwardEvent::EnvelopeFailed { id: s("I") }.into(),
            "failing envelope [I.envelope.busy] -> [I.envelope.bad]",
        ),
        (
            ForwardEvent::ClientError { reason: s("peer disconnected") }.into(),
            "smtp client error: peer disconnected",
        ),
        (SpoolEvent::LockFailed { id: s("I") }.into(), "cannot lock file: \"I.envelope\""),
        (
            StartEvent::NewListener { server: Server::Smtp, address: s("192.0.2.1:25") }.into(),
            "new smtp server on 192.0.2.1:25",
        ),
        (
            StartEvent::ListenerGone { server: Server::Smtp, address: s("192.0.2.1:25") }.into(),
            "deleting smtp server on 192.0.2.1:25",
        ),
        (
            StartEvent::ListenerFailed { server: Server::Smtp, address: s("::1.25"), reason: s("in use") }
                .into(),
            "failed to bind ::1.25 for new smtp server: in use",
        ),
        (ForwardEvent::RunFailure { reason: s("no spool") }.into(), "forwarding failure: no spool"),
        (
            SpoolEvent::ReasonLost { id: s("I"), file: s("I.envelope.busy"), error: s("no space") }.into(),
            "cannot re-open envelope file to append the failure reason: [I.envelope.busy] (no space)",
        ),
        (
            SpoolEvent::DeleteFailed {
                id: s("I"),
                what: "envelope",
                file: s("I.envelope.busy"),
                error: s("read-only"),
            }
            .into(),
            "failed to delete envelope file [I.envelope.busy] (read-only)",
        ),
        (
            DeliveryEvent::NoFolders { path: s("/spool") }.into(),
            "copy filter: no sub-directories of [/spool] to copy in to",
        ),
        (
            DeliveryEvent::Delivering { id: s("I"), path: s("/mail") }.into(),
            "delivery: delivering I to [/mail/<mbox>]",
        ),
        (ProcessEvent::ShuttingDown { cause: s("SIGTERM") }.into(), "shutting down: SIGTERM"),
        (ProcessEvent::TooManyFiles.into(), "too many open files: accepting paused"),
        (ProcessEvent::LinesLost { count: 3 }.into(), "3 log lines lost"),
    ];
    for (event, text) in cases {
        assert_eq!(event.to_string(), text);
    }
}

#[test]
fn delivery_records_say_what_when_and_where() {
    let head = "[emailrelay.1234.1795170487.1]: to=<b@example.com,c@example.com (+1)> relay=198.51.100.2:25";
    let forwarded: Event = ForwardEvent::Forwarded(delivery("250 ok")).into();
    assert_eq!(forwarded.to_string(), format!("message forwarded {head} reply=[250 ok] delay=1.2s"));
    assert_eq!(forwarded.level(), Level::Info);
    let failed: Event = ForwardEvent::Failed(delivery("550 no such user")).into();
    assert_eq!(failed.to_string(), format!("message failed {head} reply=[550 no such user]"));
    assert_eq!(failed.level(), Level::Warning);
    let next = Duration::from_secs(300);
    let deferred: Event = ForwardEvent::Deferred { delivery: delivery("450 later"), next }.into();
    let expected = format!("message deferred {head} reply=[450 later] delay=1.2s: next attempt in 300s");
    assert_eq!(deferred.to_string(), expected);

    let stored: Event = ServerEvent::Stored {
        id: id(),
        from: String::new(),
        to: vec!["b@example.com".to_owned()],
        size: 42,
        client: "192.0.2.7".to_owned(),
        user: Some("bob".to_owned()),
    }
    .into();
    assert_eq!(
        stored.to_string(),
        "message stored [emailrelay.1234.1795170487.1]: from=<> to=<b@example.com> size=42 client=192.0.2.7 auth=bob"
    );
}

#[test]
fn fields_tell_the_story_of_a_message() {
    let fields = Event::from(ForwardEvent::Failed(delivery("550-no\n550 such user"))).fields();
    assert_eq!(fields.msgid, Some(id()));
    assert_eq!(fields.from.as_deref(), Some("a@example.com"));
    assert_eq!(fields.rcpts.as_deref(), Some("b@example.com,c@example.com,d@example.com"));
    assert_eq!(fields.size, Some(512));
    assert_eq!(fields.next_hop.as_deref(), Some("198.51.100.2:25"));
    assert_eq!(fields.reply_code, Some(550));
    let lost = Delivery { relay: String::new(), ..delivery("peer disconnected") };
    let fields = Event::from(ForwardEvent::Failed(lost)).fields();
    assert_eq!((fields.reply_code, fields.next_hop), (None, None));
    assert_eq!(fields.reason.as_deref(), Some("peer disconnected"));
}

#[test]
fn recipient_fields_are_cut() {
    let many: Vec<String> = (0..10_000).map(|n| format!("user{n}@example.com")).collect();
    let joined = Fields::join(&many);
    assert!(joined.len() <= MAX_FIELD + 8 && joined.ends_with("..."), "{}", joined.len());
}

#[test]
fn peer_text_in_records_is_escaped() {
    let event: Event = ForwardEvent::Failed(delivery("550 a\\b\r\nemailrelay: warning: x")).into();
    assert!(event.to_string().ends_with("reply=[550 a\\\\b\\r\\nemailrelay\\x3a warning: x]"), "{event}");
}

#[test]
fn a_protocol_event_has_the_level_of_its_kind() {
    let event =
        Event::Protocol { kind: kind::TRACE, text: "rx<<: \"QUIT\"".to_owned(), fields: Fields::default() };
    assert_eq!(event.level(), Level::Verbose);
    assert_eq!(event.message_id(), kind::TRACE.id);
    assert_eq!(event.to_string(), "rx<<: \"QUIT\"");
}
