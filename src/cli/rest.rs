//! The forwarder under a service manager when it has no work, or cannot do it.
//!
//! A path unit starts it for as long as there is a request in the spool, and at once when it has ended. So it takes the request
//! away and stays for a while, whatever happens: a machine that only receives mail, or whose configuration has a mistake,
//! does not start a process for each message. What waits is found by the timer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::terminal::{leave, say};
use super::{Environment, Exit, Invocation, Program};
use crate::config::Settings;
use crate::os::notify;
use crate::spool::Spool;

/// Exit code for options that are wrong (sysexits: configuration error). The unit does not try again by itself.
const CODE_CONFIGURATION: u8 = 78;

/// How long a process stays that can do nothing.
const STAY: Duration = Duration::from_secs(10);

/// How often the service manager is told that we live.
const TICK: Duration = Duration::from_secs(1);

const NO_NEXT_HOP: &str = "no next hop (--forward-to): messages stay in the spool";

/// Whether the options are good, and name nobody to send anything to.
pub(super) fn has_no_next_hop(program: Program, invocation: &Invocation) -> bool {
    program == Program::Forward && invocation.instances.iter().all(|settings| settings.forward.to.is_none())
}

/// The life of a forwarder without a next hop. Only what asked for a run is told that there will be none.
pub(super) fn without_next_hop(invocation: &Invocation) -> u8 {
    let spools = || invocation.instances.iter().map(spool_dir);
    let asked = spools().any(|directory| forget(&directory));
    notify::ready(NO_NEXT_HOP);
    if asked {
        say(&format!("{}: {NO_NEXT_HOP}", invocation.process.name));
    }
    stay(invocation.process.linger.unwrap_or_default().max(STAY));
    spools().for_each(|directory| {
        forget(&directory);
    });
    0
}

/// The end of a process whose options are wrong.
pub(super) fn refused(program: Program, argv: &[OsString], env: &Environment, exit: &Exit) -> u8 {
    let code = leave(exit);
    if code == 0 || program != Program::Forward || !env.managed {
        return code;
    }
    super::spools(program, argv, env).iter().for_each(|directory| {
        forget(directory);
    });
    stay(STAY);
    CODE_CONFIGURATION
}

fn spool_dir(settings: &Settings) -> PathBuf {
    Path::new("/").join(&settings.spool_dir)
}

/// A request that cannot be removed only means that we are soon here again.
fn forget(directory: &Path) -> bool {
    Spool::forget_forward_request(directory).unwrap_or_default()
}

fn stay(time: Duration) {
    for _ in 0..time.as_secs() {
        notify::ping();
        sleep(TICK);
    }
}
