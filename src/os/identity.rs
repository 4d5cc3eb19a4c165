//! Who we are: leaving root for good, and keeping secrets out of core files.

use caps::CapSet;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{
    Gid, Uid, User as Account, getgid, getgrouplist, getgroups, getresgid, getresuid, getuid, setgroups,
    setresgid, setresuid,
};
use thiserror::Error;

use super::errno_reason;

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its login group.
    pub gid: u32,
}

/// Why the identity is not what it should be.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// `--user` names nobody.
    #[error("no such user: {0}")]
    NoSuchUser(String),
    /// The change did not happen, or not fully.
    #[error("failed to change process identity: {0}")]
    Change(String),
}

/// Looks an account up. The name must exist even if we are not root and nothing is going to change.
///
/// # Errors
/// [`IdentityError::NoSuchUser`]
pub fn lookup(name: &str) -> Result<User, IdentityError> {
    let account = Account::from_name(name).ok().flatten();
    let account = account.ok_or_else(|| IdentityError::NoSuchUser(name.to_owned()))?;
    Ok(User { name: account.name, uid: account.uid.as_raw(), gid: account.gid.as_raw() })
}

/// The groups that a service manager gives a process of the user: its own, and those it is a member of.
pub fn groups(user: &User) -> Vec<u32> {
    let own = Gid::from_raw(user.gid);
    let name = std::ffi::CString::new(user.name.as_str()).unwrap_or_default();
    let all = getgrouplist(&name, own).unwrap_or_else(|_| vec![own]);
    all.into_iter().map(Gid::as_raw).collect()
}

/// The name of the account that runs this process; none if it has none.
pub fn login_name() -> Option<String> {
    Account::from_uid(getuid()).ok().flatten().map(|account| account.name)
}

/// Was the process started by root (real user id 0)?
pub fn is_root() -> bool {
    getuid().is_root()
}

/// Becomes `user` completely and finally: no supplementary groups (not even those of the user), real, effective and saved ids changed,
/// every capability set of this thread emptied, no way back through set-uid programs. The result is verified.
///
/// Not root: set-uid and set-gid rights are given back, the capabilities that a service manager granted stay (see
/// [`held_capabilities`]), and `user` has no other effect.
///
/// The ids change in all threads, capabilities only in this one: call it before others start.
///
/// # Errors
/// [`IdentityError::Change`]: the process must end.
pub fn drop_to(user: &User) -> Result<(), IdentityError> {
    if !is_root() {
        return drop_set_id();
    }
    if user.uid == 0 {
        return Err(change("the target is root"));
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgroups(&[]).map_err(|error| failed("setgroups", error))?;
    setresgid(gid, gid, gid).map_err(|error| failed("setresgid", error))?;
    // Needs CAP_SETPCAP, so before the user id; where a container withholds that, the other sets being empty is what counts.
    let _ = caps::clear(None, CapSet::Bounding);
    setresuid(uid, uid, uid).map_err(|error| failed("setresuid", error))?;
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| change(&error.to_string()))?;
    }
    prctl::set_no_new_privs().map_err(|error| failed("no_new_privs", error))?;
    verify(uid, gid)
}

/// No core files and no debugger for this process: passwords and mail are in its memory. Call it after [`drop_to`], which
/// resets the flag.
pub fn protect_memory() {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
}

/// Names of the capabilities this thread could use or pass on, sorted; a role needs none. `CAP_NET_BIND_SERVICE` is
/// normal for a program that a unit lets bind low ports itself. Not to be called as root, who holds all.
pub fn held_capabilities() -> Vec<String> {
    let sets = [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient];
    let held = sets.into_iter().filter_map(|set| caps::read(None, set).ok()).flatten();
    let mut names: Vec<String> = held.map(|capability| capability.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

/// Gives back what a set-uid or set-gid bit on the program granted.
fn drop_set_id() -> Result<(), IdentityError> {
    let (uid, gid) = (getuid(), getgid());
    let groups = getresgid().map_err(|error| failed("getresgid", error))?;
    if groups.effective != gid || groups.saved != gid {
        setresgid(gid, gid, gid).map_err(|error| failed("setresgid", error))?;
    }
    let users = getresuid().map_err(|error| failed("getresuid", error))?;
    if users.effective != uid || users.saved != uid {
        setresuid(uid, uid, uid).map_err(|error| failed("setresuid", error))?;
    }
    Ok(())
}

fn verify(uid: Uid, gid: Gid) -> Result<(), IdentityError> {
    let users = getresuid().map_err(|error| failed("getresuid", error))?;
    let groups = getresgid().map_err(|error| failed("getresgid", error))?;
    let others = getgroups().map_err(|error| failed("getgroups", error))?;
    let ids = users.real == uid && users.effective == uid && users.saved == uid;
    let group_ids = groups.real == gid && groups.effective == gid && groups.saved == gid;
    if !ids || !group_ids || others.iter().any(|group| *group != gid) {
        return Err(change("ids are left over"));
    }
    if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        return Err(change("root can be regained"));
    }
    match held_capabilities().first() {
        Some(capability) => Err(change(&format!("{capability} is left over"))),
        None => Ok(()),
    }
}

fn failed(call: &str, error: nix::Error) -> IdentityError {
    change(&format!("{call}: {}", errno_reason(error)))
}

fn change(text: &str) -> IdentityError {
    IdentityError::Change(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::tests::{is_child, rerun};

    #[test]
    fn an_unknown_user_is_an_error() {
        assert_eq!(
            lookup("no-such-user-x").expect_err("unknown").to_string(),
            "no such user: no-such-user-x"
        );
        assert_eq!(lookup("root").expect("root").uid, 0);
    }

    #[test]
    fn root_is_left_for_good() {
        if !is_root() {
            println!("skipped: needs root");
            return;
        }
        if !is_child() {
            let output = rerun("os::identity::tests::root_is_left_for_good").output().expect("child");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        assert!(drop_to(&lookup("root").expect("root")).is_err());
        let user = lookup("daemon").expect("daemon");
        drop_to(&user).expect("drop");
        protect_memory();
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let line = |key: &str| {
            status.lines().find_map(|line| line.strip_prefix(key)).expect("line").trim().to_owned()
        };
        let all = |id: u32| format!("{id}\t{id}\t{id}\t{id}");
        assert_eq!(line("Uid:"), all(user.uid));
        assert_eq!(line("Gid:"), all(user.gid));
        assert_eq!(line("Groups:"), "");
        assert_eq!(line("NoNewPrivs:"), "1");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(set), "0000000000000000", "{set}");
        }
        assert!(held_capabilities().is_empty());
        assert!(!prctl::get_dumpable().expect("dumpable"));
        // The ids of every thread changed: the test harness runs this one beside its main thread.
        for task in std::fs::read_dir("/proc/self/task").expect("tasks") {
            let path = task.expect("task").path().join("status");
            let status = std::fs::read_to_string(path).expect("status");
            assert!(status.contains(&format!("Uid:\t{}\n", all(user.uid))), "{status}");
        }
    }
}
