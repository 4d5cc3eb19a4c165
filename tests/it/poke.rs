//! `emailrelay-poke`: one line to the administration, and the first line of the answer.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::admin::{admin_of, one_process, own_program, send};
use crate::support::daemon::Program;
use crate::support::hop::{Script, ScriptedHop};
use crate::support::spool::TempSpool;
use crate::support::{free_port, loopback};

#[test]
fn a_relay_is_made_to_send() {
    let (spool, hop) = (TempSpool::new(), ScriptedHop::start(Script::well()));
    let relay = one_process(&spool, &["--forward-to", &hop.arg()]);
    send(&relay, 2);
    let port = admin_of(&relay).port().to_string();
    assert_eq!(Program::Poke.run(&[&port]), (Some(0), "OK\n".to_owned(), String::new()));
    assert_eq!(hop.accepted().len(), 2, "flush is answered when all is sent");
    let pid = format!("{}\n", relay.pid());
    assert_eq!(Program::Poke.run(&[&port, "pid"]), (Some(0), pid, String::new()));
    let unknown = (Some(1), "error: unrecognised command\n".to_owned(), String::new());
    assert_eq!(Program::Poke.run(&[&port, "no such"]), unknown);
    // Nothing but the prompt is an answer too.
    assert_eq!(Program::Poke.run(&[&port, "unfail-all"]), (Some(0), "\n".to_owned(), String::new()));
    let (_admin, path) = own_program(&spool, &["--forward-to", &hop.arg()]);
    let path = path.to_str().unwrap();
    assert_eq!(Program::Poke.run(&[path, "list"]).1, "<none>\n");
    assert_eq!(Program::Poke.run(&[path, "hold"]), (Some(1), "usage: hold <id>\n".to_owned(), String::new()));
}

#[test]
fn those_who_do_not_answer_are_failures() {
    let port = free_port().to_string();
    let refused = "emailrelay-poke: cannot connect: connection refused\n";
    assert_eq!(Program::Poke.run(&[&port]), (Some(1), String::new(), refused.to_owned()));
    let missing = "emailrelay-poke: cannot connect: no such file or directory\n";
    assert_eq!(Program::Poke.run(&["/nonexistent/admin.sock"]).2, missing);
    // One that says nothing, and one that hangs up.
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let late = (Some(1), String::new(), "emailrelay-poke: no answer within 1 s\n".to_owned());
    assert_eq!(Program::Poke.run(&["-t", "1", &port]), late);
    let server = thread::spawn(move || {
        // The silent one's connection is still in the queue.
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = [0; 7];
        stream.read_exact(&mut line).unwrap();
        drop(stream);
        let (mut stream, _) = listener.accept().unwrap();
        let mut evil = [0; 3];
        stream.read_exact(&mut evil).unwrap();
        stream.write_all(b"\x1b[2Jdone").unwrap();
        line
    });
    let closed =
        (Some(1), String::new(), "emailrelay-poke: the connection was closed without an answer\n".to_owned());
    assert_eq!(Program::Poke.run(&[&port]), closed);
    assert_eq!(Program::Poke.run(&[&port, "x"]), (Some(0), "\\x1b[2Jdone\n".to_owned(), String::new()));
    assert_eq!(&server.join().unwrap(), b"FLUSH\r\n");
    assert_eq!(Program::Poke.run(&["x"]).0, Some(64));
}
