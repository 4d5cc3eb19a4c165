//! Power cuts under load, on a real ext4: what was acknowledged is there, and nothing is there by halves.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::client::SmtpClient;
use crate::support::daemon::Daemon;
use crate::support::dice::Dice;
use crate::support::disk::RecordingDisk;
use crate::support::need::require;
use crate::support::spool::{self, TempSpool};

const SEED: u64 = 20_261_121;
const CLIENTS: usize = 6;
const LOAD: Duration = Duration::from_secs(2);
/// So many fit on the disk.
const MESSAGES: u64 = 1500;
const CUTS: usize = 16;

fn content(number: u64) -> Vec<u8> {
    let mut text = format!("Subject: {number}\r\n\r\n");
    (0..number % 200)
        .for_each(|line| text.push_str(&format!("{number} {line} abcdefghijklmnopqrstuvwxyz\r\n")));
    text.push_str(&format!("END {number}\r\n"));
    text.into_bytes()
}

/// Sends messages; returns each acknowledged one with the disk's position when the acknowledgement was seen.
fn load(server: &Daemon, disk: &RecordingDisk) -> Vec<(u64, usize)> {
    let (number, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let address = server.address();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut acknowledged) = (SmtpClient::connect(address), Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        let number = number.fetch_add(1, Ordering::Relaxed);
                        if number >= MESSAGES {
                            break;
                        }
                        client.send("a@example.com", &["b@example.com"], &content(number));
                        acknowledged.push((number, disk.position()));
                    }
                    acknowledged
                })
            })
            .collect();
        thread::sleep(LOAD);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// The numbers of the messages that a start would find, all of which must be whole.
fn visible(directory: &Path) -> Vec<u64> {
    let envelopes = spool::list(directory).into_iter().filter(|name| name.ends_with(".envelope"));
    envelopes
        .map(|name| {
            let envelope = fs::read_to_string(directory.join(&name)).unwrap();
            assert!(envelope.ends_with("X-MailRelay-End: 1\r\n"), "{name}: {envelope:?}");
            let found = fs::read(directory.join(name.replace(".envelope", ".content"))).unwrap();
            let text = String::from_utf8_lossy(&found);
            let number =
                text.strip_prefix("Subject: ").and_then(|rest| rest.split_once("\r\n")?.0.parse().ok());
            let number = number.unwrap_or_else(|| panic!("{name}: {text:?}"));
            assert!(found == content(number), "{name}: {number} is not whole");
            number
        })
        .collect()
}

#[test]
fn acknowledged_messages_survive_power_cuts() {
    require!(RecordingDisk::needs());
    if RecordingDisk::kernel_lacks() {
        return;
    }
    let spool = TempSpool::new();
    let mut disk = RecordingDisk::mount(spool.path());
    let server = Daemon::server(&spool, &["--anonymous=content"]);
    let began = disk.position();
    let acknowledged = load(&server, &disk);
    let end = disk.position();
    assert!(server.stop().success());
    disk.unmount();
    let mut dice = Dice::new(SEED);
    let mut unacknowledged = 0;
    for _ in 0..CUTS {
        let cut = usize::try_from(dice.between(began as u64, end as u64)).unwrap();
        let expected =
            acknowledged.iter().filter(|(_, position)| *position <= cut).map(|(number, _)| *number);
        let expected: Vec<u64> = expected.collect();
        disk.after_power_cut(cut, &mut dice, |directory| {
            let found = visible(directory);
            let lost: Vec<&u64> = expected.iter().filter(|number| !found.contains(number)).collect();
            assert!(lost.is_empty(), "cut at {cut}, seed {SEED}: lost {lost:?} of {}", expected.len());
            unacknowledged += found.len() - expected.len();
        });
    }
    let (writes, flushes) = disk.counts();
    eprintln!(
        "seed {SEED}: {} acknowledged messages in {writes} writes and {flushes} flushes; {CUTS} power cuts lost none, and \
         kept {unacknowledged} that were not acknowledged yet",
        acknowledged.len()
    );
    assert!(acknowledged.len() > 50, "hardly any load: {}", acknowledged.len());
    // Each client has one message at a time.
    assert!(unacknowledged <= CUTS * CLIENTS, "{unacknowledged}");
}

#[test]
fn the_recording_disk_keeps_what_was_synced_and_may_lose_the_rest() {
    require!(RecordingDisk::needs());
    if RecordingDisk::kernel_lacks() {
        return;
    }
    let spool = TempSpool::new();
    let mut disk = RecordingDisk::mount(spool.path());
    let directory = File::open(spool.path()).unwrap();
    let mut positions = Vec::new();
    for name in ["first", "second"] {
        fs::write(spool.path().join(name), name).unwrap();
        File::open(spool.path().join(name)).unwrap().sync_all().unwrap();
        directory.sync_all().unwrap();
        positions.push(disk.position());
    }
    fs::write(spool.path().join("third"), "third").unwrap();
    positions.push(disk.position());
    drop(directory);
    disk.unmount();
    for (count, position) in (1..).zip(positions) {
        disk.after_power_cut(position, &mut Dice::new(SEED), |directory| {
            let expected = if count == 1 { vec!["first"] } else { vec!["first", "second"] };
            assert_eq!(spool::list(directory), expected);
            expected
                .iter()
                .for_each(|name| assert_eq!(fs::read_to_string(directory.join(name)).unwrap(), *name));
        });
    }
}
