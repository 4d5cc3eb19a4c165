//! Programs that behave, and those that do not.

use std::sync::Arc;
use std::time::Instant;

use super::*;

fn call(script: &str, limit: Option<Duration>) -> Call {
    Call {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        variables: Vec::new(),
        limit,
        stop: CancellationToken::new(),
        context: Context::default(),
    }
}

fn runner(running: usize) -> Runner {
    Runner::new(Limits { running, wait: Duration::from_secs(60) })
}

async fn run(script: &str) -> Ended {
    runner(1).run(call(script, Some(Duration::from_secs(60)))).await
}

fn exited(code: u8, output: &str) -> Ended {
    Ended::Exited { code, output: output.as_bytes().to_vec() }
}

#[tokio::test]
async fn code_and_output_come_back() {
    assert_eq!(run("echo hello; exit 7").await, exited(7, "hello\n"));
    assert_eq!(run("kill -TERM $$").await, exited(143, ""));
    let missing = Call { program: "/no/such".into(), ..call("", None) };
    let ended = runner(1).run(missing).await;
    assert_eq!(ended, Ended::NotExecuted("no such file or directory".to_owned()));
}

#[tokio::test]
async fn output_is_read_to_its_end_and_its_beginning_is_kept() {
    let ended = run("head -c 1000 /dev/zero; echo -n marker; head -c 3000000 /dev/zero; exit 3").await;
    let Ended::Exited { code: 3, output } = ended else { panic!("{ended:?}") };
    assert_eq!((output.len(), &output[1000..1006]), (MAX_OUTPUT, &b"marker"[..]));
}

#[tokio::test]
async fn who_holds_the_output_is_waited_for_and_others_are_not() {
    assert_eq!(run("(sleep 0.2; echo late) & exit 1").await, exited(1, "late\n"));
    let start = Instant::now();
    assert_eq!(run("sleep 30 >/dev/null & exit 2").await, exited(2, ""));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn at_the_limit_everything_is_ended_by_force() {
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ >\"$0\"; sleep 600' FILE & sleep 600";
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = script.replace("FILE", file.path().to_str().unwrap());
    let start = Instant::now();
    let ended = runner(1).run(call(&script, Some(Duration::from_secs(1)))).await;
    assert_eq!(ended, Ended::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = std::fs::read_to_string(file.path()).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[tokio::test]
async fn a_stop_and_a_dropped_wait_end_it() {
    let runner = Arc::new(runner(2));
    let stopped = call("sleep 600", None);
    let stop = stopped.stop.clone();
    let waiting = tokio::spawn({
        let runner = Arc::clone(&runner);
        async move { runner.run(stopped).await }
    });
    stop.cancel();
    assert_eq!(waiting.await.unwrap(), Ended::Stopped);

    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_owned();
    let script = format!("echo $$ >{}; sleep 600", path.display());
    let waiting = tokio::spawn(async move { runner.run(call(&script, None)).await });
    let pid = loop {
        match std::fs::read_to_string(&path).unwrap().trim().parse::<u32>() {
            Ok(pid) => break pid,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    waiting.abort();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn only_so_many_run_and_nobody_waits_for_ever() {
    let impatient = Runner::new(Limits { running: 1, wait: Duration::from_millis(50) });
    let impatient = Arc::new(impatient);
    let long = call("sleep 600", None);
    let stop = long.stop.clone();
    let first = {
        let runner = Arc::clone(&impatient);
        tokio::spawn(async move { runner.run(long).await })
    };
    while impatient.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(impatient.run(call("exit 0", None)).await, Ended::Busy);
    stop.cancel();
    assert_eq!(first.await.unwrap(), Ended::Stopped);
    assert_eq!(impatient.run(call("exit 0", None)).await, exited(0, ""));
}
