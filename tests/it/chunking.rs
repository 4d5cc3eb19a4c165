//! BDAT (RFC 3030) against the program: what is on disk, byte for byte.

use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::spool::TempSpool;
use crate::support::{PATIENCE, wait_for};

#[test]
fn chunks_are_stored_byte_for_byte_and_nothing_else_of_them_is_kept() {
    let spool = TempSpool::new();
    let server =
        Daemon::server(&spool, &["--anonymous=content", "--server-smtp-config=+chunking", "--size=3m"]);
    let mut client = SmtpClient::connect(server.address());
    assert!(client.command("EHLO client.test").lines.contains(&"CHUNKING".to_owned()));
    // Large enough to reach the disk before its end; with all that DATA would change or refuse.
    let chunk = b"\n.\r\n.\n\0\xff\r.\rQUIT\r\n".repeat(50_000);
    client.command("MAIL FROM:<a@example.com> BODY=BINARYMIME");
    client.command("RCPT TO:<b@example.com>");
    client.write(&[format!("BDAT {}\r\n", chunk.len()).as_bytes(), &chunk].concat()).unwrap();
    assert_eq!(client.reply().unwrap().lines, [format!("{} bytes received", chunk.len())]);
    client.write(&[format!("BDAT {} LAST\r\n", chunk.len()).as_bytes(), &chunk].concat()).unwrap();
    assert_eq!(client.reply().unwrap().lines, ["message processed"]);
    let ready = spool.ready();
    assert!(spool.content(&ready[0]) == chunk.repeat(2));
    assert_eq!(spool.envelope(&ready[0]).first("Content"), "binarymime");

    // One chunk too many: its bytes are dropped, not obeyed.
    client.command("MAIL FROM:<a@example.com>");
    client.command("RCPT TO:<b@example.com>");
    for code in [250, 250, 250, 552] {
        client.write(&[format!("BDAT {}\r\n", chunk.len()).as_bytes(), &chunk].concat()).unwrap();
        assert_eq!(client.reply().unwrap().code, code);
    }
    assert_eq!(client.command("RSET").code, 250);
    wait_for("the removal", PATIENCE, || (spool.files().len() == 2).then_some(()));

    // The end of the connection inside a chunk; then all in one piece.
    client.write(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2000000 LAST\r\n").unwrap();
    client.write(&chunk).unwrap();
    wait_for("the content file", PATIENCE, || (spool.files().len() == 3).then_some(()));
    drop(client);
    wait_for("its removal", PATIENCE, || (spool.files().len() == 2).then_some(()));
    let mut client = SmtpClient::connect(server.address());
    client.write(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nxBDAT 2 LAST\r\nyzQUIT\r\n").unwrap();
    let rest = client.rest();
    assert!(rest.ends_with(b"250 1 bytes received\r\n250 message processed\r\n221 OK\r\n"), "{rest:?}");
    assert_eq!(spool.ready().len(), 2);
    assert!(server.stop().success());
}
