//! The least that a server can do which takes mail durably, as a measure for the others in `compare.py`.
//!
//! It speaks no protocol (whatever the line, the answer is 250), keeps no log, and stores one file for each message: written,
//! synced, renamed, its directory synced, then 250. What it does not reach on a machine, no server reaches there that keeps each
//! message in a file of its own and syncs it before the answer. `least PORT DIRECTORY`; ends by signal.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(directory)) = (arguments.next(), arguments.next()) else {
        // What `cargo bench` does with it: there is nothing to measure in it alone.
        return Ok(());
    };
    let Ok(port) = port.parse::<u16>() else { return Ok(()) };
    let directory: Arc<PathBuf> = Arc::new(directory.into());
    for (number, stream) in TcpListener::bind(("127.0.0.1", port))?.incoming().enumerate() {
        let (stream, directory) = (stream?, Arc::clone(&directory));
        // A client that goes away ends its thread, and nothing else.
        thread::spawn(move || converse(stream, &directory, number));
    }
    Ok(())
}

fn converse(mut stream: TcpStream, directory: &Path, number: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 least\r\n")?;
    let mut buffer = vec![0; 65536];
    let mut received = Vec::new();
    let mut content = false;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let end: &[u8] = if content { b"\r\n.\r\n" } else { b"\r\n" };
        if !received.ends_with(end) {
            continue;
        }
        let verb = received.first().copied();
        if content {
            store(directory, number, &received)?;
            content = false;
            stream.write_all(b"250 stored\r\n")?;
        } else if verb == Some(b'D') {
            content = true;
            stream.write_all(b"354 go on\r\n")?;
        } else if verb == Some(b'Q') {
            return stream.write_all(b"221 bye\r\n");
        } else {
            stream.write_all(b"250 ok\r\n")?;
        }
        received.clear();
    }
}

fn store(directory: &Path, number: usize, content: &[u8]) -> io::Result<()> {
    let name = directory.join(format!("{number}.envelope"));
    let new = directory.join(format!("{number}.new"));
    let mut file = File::create_new(&new)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&new, &name)?;
    File::open(directory)?.sync_all()
}
