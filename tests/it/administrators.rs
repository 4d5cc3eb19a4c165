//! Administrators: what they may do, what becomes of those who do not read or have said all, what they hear of POP.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::admin::{admin_of, one_process, own_program, send};
use crate::pop::PopSpool;
use crate::support::admin::AdminClient;
use crate::support::hop::{Script, ScriptedHop, Step};
use crate::support::need::{self, require};
use crate::support::pop::PopClient;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

/// What `printf 'flush\n' | socat - UNIX:...` wants to see, in both shapes; and who is gone altogether is not served on.
#[test]
fn a_client_that_has_said_all_still_gets_its_replies() {
    require!(need::program("socat"));
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let relay = one_process(&spool, &["--forward-to", &hop.arg()]);
    let (admin, path) = own_program(&spool, &["--forward-to", &hop.arg()]);
    let unix = format!("UNIX-CONNECT:{}", path.display());
    for (count, address) in [(1, format!("TCP:{}", admin_of(&relay))), (2, unix)] {
        send(&relay, 1);
        let command = format!("printf 'flush verbose\\npid\\n' | socat -t 60 - {address}");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let pid = if count == 1 { relay.pid() } else { admin.pid() };
        assert!(said.contains(&format!("{pid}\nE-MailRelay> ")), "{said}");
        assert!(said.contains("sent 1 failed 0 left 0\nOK\nE-MailRelay> "), "{said}");
        assert_eq!(hop.accepted().len(), count);
    }
    // The client dies while its first message is on its way: that one is finished, the other left.
    hop.set(Script { dot: Step::Silent, ..Script::well() });
    send(&relay, 2);
    let mut client = AdminClient::unix(&path);
    client.write(b"flush\n").unwrap();
    hop.wait_connections(3);
    drop(client);
    admin.line("admin connection closed: peer disconnected: /");
}

/// A queue of a hundred thousand, people who ask for all of it and do not read, and somebody who does.
#[test]
fn a_long_list_holds_up_nobody() {
    const MESSAGES: usize = 100_000;
    let spool = TempSpool::new();
    for number in 0..MESSAGES {
        fs::File::create(spool.path().join(format!("emailrelay.1234.1795170755.{number}.envelope"))).unwrap();
    }
    let (admin, path) = own_program(&spool, &[]);
    // A directory is not trusted to be as it was before two seconds have passed since its last change.
    let settled =
        || fs::metadata(spool.path()).unwrap().modified().unwrap().elapsed().unwrap().as_secs() >= 3;
    wait_for("a quiet spool", PATIENCE, || settled().then_some(()));
    let before = admin.memory();
    let mut deaf: Vec<AdminClient> = (0..40).map(|_| AdminClient::unix(&path)).collect();
    for client in &mut deaf {
        client.write(b"list\nlist\n").unwrap();
    }
    let mut other = AdminClient::unix(&path);
    let asked = Instant::now();
    assert_eq!(other.command("pid"), admin.pid().to_string());
    let waited = asked.elapsed();
    let list = other.command("list");
    eprintln!("pid after {waited:?}, {MESSAGES} ids after {:?}", asked.elapsed());
    assert_eq!(list.lines().count(), MESSAGES);
    assert!(list.lines().is_sorted_by_key(|id| format!("{id}.envelope")));
    assert_eq!(deaf[0].reply().lines().count(), MESSAGES);
    drop(list);
    // Those who ask while nothing has changed share one list.
    let grown = admin.memory() - before;
    eprintln!("{grown} KiB for 40 lists");
    assert!(grown < 60 * 1024, "{grown} KiB");
}

#[test]
fn over_tcp_administrators_may_do_what_their_role_says() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let forward_to = ["--forward-to", &hop.arg()];
    for (role, refused, allowed) in [
        ("read-only", vec!["forward", "flush", "smtp disable", "purge failed older=0"], vec!["list"]),
        ("operator", vec!["smtp disable", "purge failed older=0", "delete x"], vec!["list", "unfail-all"]),
        ("full", vec![], vec!["list", "smtp enable"]),
    ] {
        let relay = one_process(&spool, &[&forward_to[..], &["--admin-tcp-role", role]].concat());
        let mut admin = AdminClient::tcp(admin_of(&relay));
        for command in refused {
            assert_eq!(admin.command(command), "error: permission denied", "{role}: {command}");
        }
        for command in allowed {
            assert!(!admin.command(command).starts_with("error:"), "{role}: {command}");
        }
    }
}

#[test]
fn messages_are_given_up_and_purged() {
    let spool = TempSpool::new();
    let relay = one_process(&spool, &[]);
    send(&relay, 3);
    let ids: Vec<String> =
        spool.ready().iter().map(|name| name.trim_end_matches(".envelope").to_owned()).collect();
    let mut admin = AdminClient::tcp(admin_of(&relay));
    for id in &ids[..2] {
        assert_eq!(admin.command(&format!("fail {id} no such customer")), "OK");
        relay.line(&format!("admin: fail [{id}] by 127.0.0.1:"));
    }
    let explained = admin.command(&format!("explain {}", ids[0]));
    assert!(
        explained.contains("State: failed") && explained.contains("Last reason: no such customer"),
        "{explained}"
    );
    assert_eq!(spool.envelope(&format!("{}.envelope.bad", ids[0])).first("Reason"), "no such customer");
    assert_eq!(admin.command("purge failed older=3600"), "0 deleted");
    assert_eq!(admin.command("purge failed older=0"), "2 deleted");
    relay.line(&format!("admin: purge [{}] by 127.0.0.1:", ids[1]));
    assert_eq!(spool.files(), [format!("{}.content", ids[2]), format!("{}.envelope", ids[2])]);
}

#[test]
fn notify_tells_of_pop_users() {
    let pop = PopSpool::new();
    pop.put("one", b"x\r\n");
    pop.put("two", b"x\r\n");
    let relay = pop.serve(&["--admin", "0"]);
    let (mut all, mut classic) = (AdminClient::tcp(admin_of(&relay)), AdminClient::tcp(admin_of(&relay)));
    for (client, words) in [(&mut all, "notify all\npid"), (&mut classic, "notify\npid")] {
        assert_eq!(client.command(words), relay.pid().to_string());
    }
    let mut client = PopClient::login(relay.pop_address(), "alice", "secret1");
    assert_eq!(client.command("DELE 2"), "+OK");
    client.quit();
    let told = all.events_until("pop: deleted: alice: two");
    let of = |text: &str| {
        told.iter().position(|event| event == text).unwrap_or_else(|| panic!("{text}: {told:?}"))
    };
    assert!(of("pop: login: alice") < of("store: deleted: two"), "{told:?}");
    assert!(!told.iter().any(|event| event.contains(": one")), "{told:?}");
    // Those of 2.6 say nothing of POP.
    PopClient::connect(relay.pop_address()).quit();
    for event in classic.events_until("network: in: stop") {
        assert!(event.starts_with("network: in: "), "{event}");
    }
}
