//! The command line, as we read it and as every user of the machine sees it (`/proc/PID/cmdline`, ps(1)).

use std::env;
use std::ffi::OsString;
use std::fs;
use std::sync::OnceLock;

/// The arguments as they were when first asked for, before [`hide`] changed them.
pub fn arguments() -> &'static [OsString] {
    static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();
    ARGUMENTS.get_or_init(|| env::args_os().collect())
}

/// Writes `x` over the parts of our command line that `secret` finds in an argument: from this byte on. To be called while
/// there is one thread, after [`arguments`]. What cannot be found stays as it is.
#[expect(unsafe_code, reason = "the command line is memory of ours that only its address leads to")]
pub fn hide(secret: impl Fn(&[u8]) -> Option<usize>) {
    arguments();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some((start, length)) = place(&stat) else { return };
    // SAFETY: proc(5): from `arg_start` to `arg_end` the kernel has put our arguments, in writable memory of our own stack.
    // Nothing else refers to it: the standard library reads it only in `args_os`, of which there is a copy above, and
    // there is no other thread.
    let line = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) };
    for argument in line.split_mut(|byte| *byte == 0) {
        if let Some(at) = secret(argument) {
            argument.iter_mut().skip(at).for_each(|byte| *byte = b'x');
        }
    }
}

/// Address and length of the command line: fields 48 and 49 of proc_pid_stat(5), counted behind the program's name, which
/// may have blanks in it.
fn place(stat: &str) -> Option<(usize, usize)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let length = end.checked_sub(start).filter(|length| *length > 0)?;
    (start > 0).then_some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_found_and_nothing_is_changed_without_need() {
        let stat = fs::read_to_string("/proc/self/stat").expect("stat");
        let (_, length) = place(&stat).expect("place");
        assert_eq!(length, fs::read("/proc/self/cmdline").expect("cmdline").len());
        assert_eq!(place("1 (a) b) S 1"), None);
        assert_eq!(place(""), None);
    }
}
