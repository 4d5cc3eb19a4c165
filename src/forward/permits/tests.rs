//! Who gets a connection, and who has to give one up.

use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

use super::*;
use crate::config::address::Remote;

fn to(port: u16) -> Destination {
    Destination { address: Remote::Ip(([192, 0, 2, 1], port).into()), selector: String::new() }
}

async fn several(permits: &Arc<Permits>, port: u16, count: usize) -> Vec<Permit> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(permits.take(&to(port)).await);
    }
    taken
}

/// Somebody who waits for a permit.
async fn wait_for(permits: &Arc<Permits>, port: u16) -> JoinHandle<Permit> {
    let permits = Arc::clone(permits);
    let waiting = tokio::spawn(async move { permits.take(&to(port)).await });
    yield_now().await;
    waiting
}

/// How many of these, asked one after the other, make way.
fn leaving(permits: &mut [Permit]) -> usize {
    permits.iter_mut().map(|permit| usize::from(permit.leaving || permit.makes_way())).sum()
}

#[tokio::test(start_paused = true)]
async fn a_destination_with_many_connections_makes_way_for_one_with_none() {
    let permits = Permits::new(8);
    let (mut one, mut two) = (several(&permits, 1, 4).await, several(&permits, 2, 4).await);
    assert_eq!((leaving(&mut one), leaving(&mut two)), (0, 0), "nobody waits");
    let waiting = wait_for(&permits, 3).await;
    assert_eq!((leaving(&mut one), leaving(&mut two)), (1, 0), "one is enough");
    one.retain(|permit| !permit.leaving);
    let third = waiting.await.unwrap();
    assert_eq!(third.destination, to(3));
    let more = wait_for(&permits, 3).await;
    assert_eq!((leaving(&mut two), leaving(&mut one)), (1, 0), "three, four and one are evened out");
    two.retain(|permit| !permit.leaving);
    let fourth = more.await.unwrap();
    let in_vain = wait_for(&permits, 3).await;
    assert_eq!((leaving(&mut one), leaving(&mut two)), (0, 0), "three, three and two are even");
    assert!(!in_vain.is_finished());
    drop((third, fourth));
    in_vain.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_the_fewest_comes_first_whoever_came_first() {
    let permits = Permits::new(3);
    let mut one = several(&permits, 1, 3).await;
    let (rich, poor) = (wait_for(&permits, 1).await, wait_for(&permits, 2).await);
    assert_eq!(leaving(&mut one), 1);
    one.retain(|permit| !permit.leaving);
    assert_eq!(poor.await.unwrap().destination, to(2));
    // It was dropped at once.
    rich.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_only_connection_of_a_destination_makes_way_after_a_turn() {
    let permits = Permits::new(2);
    let (mut one, mut two) = (several(&permits, 1, 1).await, several(&permits, 2, 1).await);
    let waiting = wait_for(&permits, 3).await;
    for number in 1..TURN {
        assert!(!one[0].makes_way(), "{number}");
    }
    assert!(one[0].makes_way());
    assert!(!two[0].makes_way());
    one.clear();
    let third = waiting.await.unwrap();
    let back = wait_for(&permits, 1).await;
    advance(TURN_TIME).await;
    assert!(two[0].makes_way(), "time counts as well");
    two.clear();
    back.await.unwrap();
    drop(third);
    assert!(lock(&permits.state).shares.is_empty(), "nothing is remembered of those who are gone");
}

#[tokio::test(start_paused = true)]
async fn who_waits_no_longer_is_not_waited_for() {
    let permits = Permits::new(2);
    let mut one = several(&permits, 1, 2).await;
    let waiting = wait_for(&permits, 2).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(leaving(&mut one), 0);
    let waiting = wait_for(&permits, 2).await;
    assert_eq!(leaving(&mut one), 1);
    // Its permit is on the way when it goes.
    one.retain(|permit| !permit.leaving);
    waiting.abort();
    drop(waiting.await);
    one.push(permits.take(&to(3)).await);
    assert_eq!(lock(&permits.state).given, 2);
}

#[tokio::test(start_paused = true)]
async fn the_number_may_change() {
    let permits = Permits::new(1);
    let mut one = several(&permits, 1, 1).await;
    let (second, third) = (wait_for(&permits, 1).await, wait_for(&permits, 1).await);
    permits.resize(3);
    one.push(second.await.unwrap());
    one.push(third.await.unwrap());
    permits.resize(2);
    assert_eq!(leaving(&mut one), 1);
    one.retain(|permit| !permit.leaving);
    assert_eq!(leaving(&mut one), 0);
    let fourth = wait_for(&permits, 1).await;
    assert!(!fourth.is_finished());
    permits.resize(0);
    assert_eq!(leaving(&mut one), 1, "at least one is needed");
    one.clear();
    fourth.await.unwrap();
}
