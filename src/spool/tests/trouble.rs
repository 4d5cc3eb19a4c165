//! Notes about destinations in trouble.

use std::collections::BTreeMap;

use super::*;

fn troubles(entries: &[(&str, u32, u64)]) -> BTreeMap<String, Trouble> {
    entries
        .iter()
        .map(|(name, failures, until)| ((*name).to_owned(), Trouble { failures: *failures, until: *until }))
        .collect()
}

#[test]
fn notes_are_read_as_they_were_written_and_go_with_the_last_one() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    assert!(spool.troubles().is_empty());
    let noted =
        troubles(&[("hop.test:25", 1, 1000), ("::1.25 as al ice", 7, u64::MAX), ("/run/ü\n.s", 2, 0)]);
    spool.note_troubles(&noted).unwrap();
    assert_eq!(spool.troubles(), noted);
    assert_eq!(names(place.path()), ["forward.backoff"]);
    assert_eq!(mode(&place.path().join("forward.backoff")), 0o660);
    let text = fs::read_to_string(place.path().join("forward.backoff")).unwrap();
    assert!(text.contains("1000 1 hop.test:25\n"), "{text}");
    // What a crash leaves is in nobody's way.
    fs::write(place.path().join("forward.backoff.tmp"), "half").unwrap();
    let one = troubles(&[("hop.test:25", 1, 1000)]);
    spool.note_troubles(&one).unwrap();
    assert_eq!(spool.troubles(), one);
    assert!(spool.sweep(Duration::ZERO, SweepMode::Remove).unwrap().is_empty(), "no orphans");
    spool.note_troubles(&BTreeMap::new()).unwrap();
    assert_eq!(names(place.path()), Vec::<String>::new());
    spool.forget_troubles().unwrap();
}

#[test]
fn what_makes_no_sense_is_no_trouble() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let path = place.path().join("forward.backoff");
    for garbage in [
        "",
        "\n",
        "\0\u{ff}\n",
        "x 1 hop:25\n",
        "1 x hop:25\n",
        "1000 1\n",
        "1000 1 \n",
        "1000 0 hop:25\n",
        "1 2 a b\n",
        "-1 1 hop:25\n",
    ] {
        fs::write(&path, garbage).unwrap();
        assert!(spool.troubles().is_empty(), "{garbage:?}");
    }
    fs::write(&path, b"\xff\xfe\n1000 2 hop:25\nrubbish\n").unwrap();
    assert_eq!(spool.troubles(), troubles(&[("hop:25", 2, 1000)]));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(spool.troubles().is_empty(), "no link is followed");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(spool.troubles().is_empty());
    assert!(spool.note_troubles(&troubles(&[("hop:25", 1, 1)])).is_err());
    assert_eq!(names(place.path()), ["forward.backoff"]);
}

#[test]
fn of_too_many_those_stay_that_last_longest() {
    let place = tempfile::tempdir().unwrap();
    let spool = open(place.path());
    let many = |count: u64| -> BTreeMap<String, Trouble> {
        let one = |number| (format!("{}:{number}", "h".repeat(390)), Trouble { failures: 1, until: number });
        (0..count).map(one).collect()
    };
    let limit = MAX_TROUBLES as u64;
    spool.note_troubles(&many(limit + 10)).unwrap();
    let kept = spool.troubles();
    assert_eq!(kept.len(), MAX_TROUBLES);
    assert_eq!(kept.values().map(|trouble| trouble.until).min(), Some(10));
    // Nor is more read, whoever has written it.
    let line = "1000000000000 1 hop:25\n";
    fs::write(place.path().join("forward.backoff"), line.repeat(1_000_000)).unwrap();
    assert_eq!(spool.troubles().len(), 1);
    spool.note_troubles(&troubles(&[(&"x".repeat(401), 1, 1)])).unwrap();
    assert_eq!(names(place.path()), Vec::<String>::new(), "too long a name");
}
