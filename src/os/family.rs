//! All processes that a program has become: to end every one of them, also those that tried to get away.

use std::collections::BTreeMap;
use std::fs::{DirEntry, read_dir, read_link, read_to_string};
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A program's processes. The leader must not have been reaped while this is used: its number would be free.
#[derive(Debug)]
pub struct Family {
    leader: i32,
    /// `pipe:[N]`, the name of the leader's standard output.
    pipe: String,
    /// When each known member was started, in ticks since boot: tells it from a later process of the same number.
    members: BTreeMap<i32, u64>,
}

/// What the kernel tells of a process (proc(5)).
struct Facts {
    id: i32,
    state: u8,
    parent: i32,
    group: i32,
    started: u64,
}

impl Family {
    /// The family of the process `leader`, whose standard output goes to the pipe with this inode.
    #[must_use]
    pub fn new(leader: i32, pipe: u64) -> Self {
        Self { leader, pipe: format!("pipe:[{pipe}]"), members: BTreeMap::new() }
    }

    /// Sends a signal to the leader's group, to whatever descends from it, and to whoever still holds its output. Returns how many
    /// of them are alive. Blocking, for a short time.
    pub fn signal(&mut self, signal: Signal) -> usize {
        // At once, for those that are still in the group; also where there is no /proc.
        let _ = killpg(Pid::from_raw(self.leader), signal);
        let living = self.look();
        for id in &living {
            let _ = kill(Pid::from_raw(*id), signal);
        }
        living.len()
    }

    /// How many members are alive. Blocking, for a short time.
    pub fn living(&mut self) -> usize {
        self.look().len()
    }

    fn look(&mut self) -> Vec<i32> {
        let all = processes();
        let mut found: BTreeMap<i32, u64> = BTreeMap::new();
        for facts in &all {
            let known = self.members.get(&facts.id) == Some(&facts.started);
            if facts.id == self.leader || known || facts.group == self.leader || self.holds_pipe(facts.id) {
                found.insert(facts.id, facts.started);
            }
        }
        // Children of children: processes are listed by number, and a child may have a lower one than its parent.
        loop {
            let before = found.len();
            for facts in &all {
                if found.contains_key(&facts.parent) {
                    found.insert(facts.id, facts.started);
                }
            }
            if found.len() == before {
                break;
            }
        }
        let dead = |id: &i32| all.iter().any(|facts| facts.id == *id && matches!(facts.state, b'Z' | b'X'));
        let living = found.keys().copied().filter(|id| !dead(id)).collect();
        self.members = found;
        living
    }

    /// We hold it too, at the other end.
    fn holds_pipe(&self, id: i32) -> bool {
        if id == i32::try_from(std::process::id()).unwrap_or(0) {
            return false;
        }
        // The rights of the link are those of the descriptor. The reading end is in the hands of every process of ours that is just
        // being started.
        let writes = |link: &DirEntry| link.metadata().is_ok_and(|facts| facts.mode() & 0o200 != 0);
        let links = read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten().filter(writes);
        let mut targets = links.filter_map(|link| read_link(link.path()).ok());
        targets.any(|target| target.as_os_str() == self.pipe.as_str())
    }
}

fn processes() -> Vec<Facts> {
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| parse(id, &read_to_string(format!("/proc/{id}/stat")).ok()?)).collect()
}

/// The name in the middle may hold anything, so what counts begins behind the last parenthesis.
fn parse(id: i32, stat: &str) -> Option<Facts> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(Facts {
        id,
        state: *fields.first()?.as_bytes().first()?,
        parent: number(1)?,
        group: number(2)?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::os::launch::{Launch, launch};

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "7 (a) S 1 (b)) R 3 5 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let facts = parse(7, stat).expect("facts");
        assert_eq!((facts.state, facts.parent, facts.group, facts.started), (b'R', 3, 5, 4711));
    }

    #[test]
    fn those_who_leave_the_group_are_found_by_their_parent_or_the_pipe() {
        let script =
            "trap '' TERM; setsid sh -c 'trap \"\" TERM; (setsid sleep 600 &) ; echo up; sleep 600' & wait";
        let arguments = vec!["-c".into(), script.into()];
        let (mut process, output) =
            launch(&Launch { program: "/bin/sh".into(), arguments, variables: Vec::new() }).expect("start");
        let inode = nix::sys::stat::fstat(output.as_fd()).expect("pipe").st_ino;
        let mut pipe = std::fs::File::from(output);
        pipe.read_exact(&mut [0; 3]).expect("up");
        let mut family = Family::new(process.id(), inode);
        assert!(family.signal(Signal::SIGTERM) >= 3);
        while family.signal(Signal::SIGKILL) > 0 {
            std::thread::yield_now();
        }
        // Nobody is left who could hold the pipe.
        assert_eq!(pipe.read_to_end(&mut Vec::new()).expect("end"), 0);
        while process.reap().is_none() {
            std::thread::yield_now();
        }
    }
}
