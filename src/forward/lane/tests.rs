//! How many connections a lane wants, and what their failures mean.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::address::Remote;
use crate::forward::{Engine, EngineConfig};
use crate::spool::{Spool, SpoolConfig};

const NOW: u64 = 1_800_000_000;

fn lane() -> Lane {
    let address = Remote::Ip("192.0.2.1:25".parse().unwrap());
    Lane::new(Destination { address, selector: String::new() }, DestinationBackoff::new(0))
}

fn failed(lane: &Lane, was_established: bool) -> AfterFault {
    lane.failed(was_established, NOW, Schedule::default())
}

/// As if so many workers had been started.
fn with_workers(count: usize) -> Lane {
    let lane = lane();
    lane.lock().workers = count;
    lane
}

fn is_down(after: &AfterFault) -> bool {
    matches!(after, AfterFault::Down(..))
}

#[test]
fn a_destination_is_down_only_when_the_last_of_its_connections_has_failed() {
    let lane = with_workers(3);
    assert!(!is_down(&failed(&lane, false)), "two others are still being made");
    assert!(lane.lock().in_question, "nor is another one tried now");
    assert!(!is_down(&failed(&lane, false)));
    lane.established();
    assert!(!lane.lock().in_question);
    assert!(lane.lock().backoff.may_try(NOW));
    assert_eq!(lane.lock().cap, None);
    assert!(is_down(&failed(&lane, true)));
    assert!(!lane.lock().backoff.may_try(NOW));
}

#[test]
fn a_limit_on_connections_is_believed_for_five_minutes() {
    let lane = with_workers(2);
    lane.established();
    assert!(!is_down(&failed(&lane, false)));
    assert_eq!(lane.lock().cap, Some(1));
    assert!(!lane.wants_worker(NOW + THROTTLED_FOR - 1, 4));
    assert_eq!(lane.lock().cap, Some(1));
    assert!(!lane.wants_worker(NOW + THROTTLED_FOR, 4), "nothing is queued");
    assert_eq!(lane.lock().cap, None);
}

#[test]
fn the_first_connection_tries_the_way_alone() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), SpoolConfig::default()).unwrap();
    let engine = engine(&spool);
    let lane = lane();
    for _ in 0..3 {
        lane.push(Ticket::draw(&engine, spool.next_id()).unwrap(), NOW).unwrap();
    }
    assert!(lane.wants_worker(NOW, 4));
    assert!(!lane.wants_worker(NOW, 4), "whether it gets through is not known yet");
    assert!(!lane.wants_help(NOW, 4));
    lane.established();
    assert!(lane.wants_worker(NOW, 4));
    assert!(lane.wants_worker(NOW, 4));
    assert!(!lane.wants_worker(NOW, 4), "three for three");
    assert!(!lane.wants_help(NOW, 4), "two are on their way");
    lane.established();
    lane.established();
    assert!(!lane.wants_help(NOW, 3), "fewer are allowed by now");
    assert!(lane.wants_help(NOW, 4));
    assert!(!lane.is_at_rest());
    while lane.pop().is_some() {}
}

fn engine(spool: &Arc<Spool>) -> Arc<Engine> {
    Engine::new(Arc::clone(spool), EngineConfig::example(), CancellationToken::new())
}

#[test]
fn whoever_makes_way_is_still_counted() {
    let lane = with_workers(2);
    lane.established();
    lane.established();
    lane.made_way(true);
    assert!(!is_down(&failed(&lane, true)), "the other one will try");
    assert!(lane.lock().in_question);
    lane.established();
    assert!(lane.leave(true));
    let state = lane.lock();
    assert_eq!((state.workers, state.established), (0, 0));
}

#[test]
fn the_wait_follows_the_schedule_of_the_moment() {
    let (lane, minute) = (with_workers(1), std::time::Duration::from_secs(60));
    let soon = Schedule { first: minute, max: minute, ..Schedule::default() };
    lane.failed(false, NOW, soon);
    assert!(lane.left_alone(NOW + 30).is_some_and(|until| until <= NOW + 66));
}

#[test]
fn a_greeting_does_not_end_the_back_off() {
    let lane = with_workers(1);
    failed(&lane, false);
    lane.lock().workers = 1;
    lane.established();
    assert!(!lane.lock().backoff.may_try(NOW));
    assert_eq!(lane.well(), None);
    assert!(lane.lock().backoff.may_try(NOW));
}

#[test]
fn a_fault_is_said_once_and_then_counted() {
    let lane = lane();
    assert_eq!(lane.complain("dead", NOW), ["dead"]);
    assert!(lane.complain("dead", NOW + 1).is_empty());
    assert!(lane.complain("dead", NOW + 2).is_empty());
    assert_eq!(lane.complain("silent", NOW + 3), ["dead (again: 2)", "silent"]);
    assert_eq!(lane.complain("dead", NOW + 4), ["dead"]);
    assert_eq!(lane.well(), None);
    assert_eq!(lane.complain("dead", NOW + 5), ["dead"]);
    assert!(lane.complain("dead", NOW + 6).is_empty());
    assert_eq!(lane.complain("dead", NOW + 5 + REMIND_AFTER), ["dead (again: 2)"]);
    assert!(lane.complain("dead", NOW + 6 + REMIND_AFTER).is_empty());
    assert_eq!(lane.well().as_deref(), Some("dead (again: 1)"));
}
