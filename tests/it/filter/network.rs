//! `net:` filters against scripted servers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use super::{line, send, server};
use crate::support::client::SmtpClient;
use crate::support::free_port;
use crate::support::script::Scripts;
use crate::support::spool::TempSpool;

/// A server that answers each question with the next of its answers (the last one for ever), on connections that it keeps open or
/// closes after each. Its questions, with the number of the connection.
struct Answering {
    address: String,
    asked: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Answering {
    fn start(answers: &[&str], greeting: &str, close: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let (greeting, log) = (greeting.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut next = 0;
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                stream.write_all(greeting.as_bytes()).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut question = String::new();
                    if reader.read_line(&mut question).unwrap_or(0) == 0 {
                        break;
                    }
                    log.lock().unwrap().push((number, question));
                    let answer = answers.get(next).or(answers.last()).unwrap();
                    next += 1;
                    if stream.write_all(answer.as_bytes()).is_err() || close {
                        break;
                    }
                }
            }
        });
        Self { address, asked }
    }

    fn spec(&self) -> String {
        format!("net:{}", self.address)
    }

    fn connections(&self) -> usize {
        self.asked.lock().unwrap().iter().map(|(number, _)| number + 1).max().unwrap_or(0)
    }
}

#[test]
fn answers_become_replies_over_one_connection() {
    let spool = TempSpool::new();
    let answers = ["ok\n", "550 a virus\tEicar in part 2\r\n", "go away\n", "\n", "450\n", "okay\r\r\n"];
    let peer = Answering::start(&answers, "", false);
    let server = server(&spool, &[&peer.spec()]);
    let mut client = SmtpClient::connect(server.address());
    for reply in [
        "250 message processed",
        "550 a virus",
        "452 go away",
        "250 message processed",
        "450 rejected",
        "250 message processed",
    ] {
        let found = client.try_send("a@example.com", &["b@example.net"], super::CONTENT).unwrap();
        assert_eq!(line(&found), reply);
    }
    server.line("rejected by filter: [Eicar in part 2]");
    assert_eq!(peer.connections(), 1);
    let (_, question) = peer.asked.lock().unwrap()[0].clone();
    assert!(question.starts_with(spool.arg()) && question.ends_with(".content\n"), "{question}");
    let host = peer.address.replace(':', "/");
    server.line(&format!("filter [{host}/ip]: ["));
    assert_eq!(spool.ready().len(), 3);
}

#[test]
fn servers_may_close_after_each_answer_and_need_not_be_asked_to_greet() {
    let spool = TempSpool::new();
    let closing = Answering::start(&["ok\n"], "", true);
    let server = server(&spool, &[&closing.spec()]);
    for _ in 0..3 {
        assert_eq!(send(&server).code, 250);
    }
    assert_eq!(closing.connections(), 3);
    let scripts = Scripts::new();
    let path = scripts.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut question = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut question).unwrap();
            stream.write_all(b"554 by unix\n").unwrap();
        }
    });
    let unix = super::server(&spool, &[&format!("net:{}", path.display())]);
    assert_eq!(line(&send(&unix)), "554 by unix");
    unix.line(&format!("filter [{}]: [", path.display()));
}

#[test]
fn a_server_that_is_no_good_is_a_temporary_failure() {
    let refused = format!("net:127.0.0.1:{}", free_port());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_spec = format!("net:{}", silent.local_addr().unwrap());
    let half = Answering::start(&["ok"], "", true);
    let long = Answering::start(&[&"x".repeat(20_000)], "", false);
    let address = |spec: &str| spec.trim_start_matches("net:").to_owned();
    for (spec, reason) in [
        (refused.clone(), format!("connect failure: cannot connect to {}", address(&refused))),
        (
            "net:/no/such".to_owned(),
            "connect failure: cannot connect to /no/such: no such file or directory".to_owned(),
        ),
        (
            silent_spec.clone(),
            format!("response timeout: no response after 1s while connected to {}", address(&silent_spec)),
        ),
        (half.spec(), "peer disconnected".to_owned()),
        (long.spec(), "response line too long".to_owned()),
    ] {
        let spool = TempSpool::new();
        let server = server(&spool, &[&spec, "--filter-timeout=1"]);
        assert_eq!(line(&send(&server)), "452 failed", "{spec}");
        server.line(&format!("]: error: {reason}"));
        server.line(&format!("failed response=[failed] reason=[{reason}]"));
        assert!(spool.files().is_empty());
    }
}
