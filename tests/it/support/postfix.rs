//! A real postfix as next hop: an instance of its own in a temporary directory, which keeps every message as a file.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::{User, chown};
use tempfile::TempDir;

use super::{PATIENCE, free_port, loopback, need, spool, wait_for};

/// A throw-away postfix on a free port of the loopback address; stopped when dropped.
///
/// Needs root (postfix does), and the programs of the package; nothing of the machine's own postfix is touched.
pub(crate) struct RealPostfix {
    dir: TempDir,
    address: SocketAddr,
    running: AtomicBool,
}

/// A message as postfix delivered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    /// With CRLF at line ends, without postfix's own Received line.
    pub(crate) content: Vec<u8>,
}

impl RealPostfix {
    /// Starts it and waits until it accepts connections.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with further lines of `main.cf`.
    pub(crate) fn start_with(settings: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-postfix.").tempdir().unwrap();
        let address = loopback(free_port());
        let this = Self { dir, address, running: AtomicBool::new(false) };
        this.configure();
        this.restart_with(settings);
        this
    }

    /// Stops it; its port refuses connections until it is started again.
    pub(crate) fn stop(&self) {
        if self.running.swap(false, Ordering::Relaxed) {
            self.control("stop");
        }
    }

    /// Starts it again at the same address, with further lines of `main.cf` in place of those given before.
    pub(crate) fn restart_with(&self, settings: &str) {
        self.stop();
        let text = self.fill(&format!("{MAIN_CF}{settings}"));
        fs::write(self.path().join("conf/main.cf"), text).unwrap();
        self.control("start");
        self.running.store(true, Ordering::Relaxed);
        wait_for("postfix", PATIENCE, || TcpStream::connect(self.address).ok());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its queue directory.
    pub(crate) fn queue(&self) -> PathBuf {
        self.path().join("queue")
    }

    /// The address as an option value.
    pub(crate) fn arg(&self) -> String {
        self.address.to_string()
    }

    /// All messages so far, in the order of their delivery, which is parallel.
    pub(crate) fn messages(&self) -> Vec<Kept> {
        let out = self.path().join("out");
        self.names().iter().map(|name| Kept::read(&out.join(name))).collect()
    }

    /// Waits until there are at least this many messages.
    pub(crate) fn wait_messages(&self, count: usize) -> Vec<Kept> {
        wait_for("messages in postfix", PATIENCE, || (self.names().len() >= count).then_some(()));
        self.messages()
    }

    fn names(&self) -> Vec<String> {
        let names = spool::list(&self.path().join("out")).into_iter();
        names.filter(|name| name.ends_with(".msg")).collect()
    }

    /// Postfix's log, for the reader of a failed test.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn configure(&self) {
        let path = self.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["conf", "queue", "data", "out"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        let (postfix, nobody) = (user("postfix"), user("nobody"));
        chown(&path.join("data"), Some(postfix.uid), None).unwrap();
        chown(&path.join("out"), Some(nobody.uid), None).unwrap();
        fs::write(path.join("conf/master.cf"), self.fill(MASTER_CF)).unwrap();
        fs::write(path.join("keep"), self.fill(KEEP)).unwrap();
        fs::set_permissions(path.join("keep"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn fill(&self, text: &str) -> String {
        let text = text.replace("@DIR@", self.path().to_str().unwrap());
        text.replace("@ADDRESS@", &self.address.to_string())
    }

    fn control(&self, verb: &str) {
        let mut command = Command::new(need::path("postfix"));
        command.arg("-c").arg(self.path().join("conf")).arg(verb);
        let status =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success() || std::thread::panicking(), "postfix {verb}: {}", self.log());
    }
}

impl Drop for RealPostfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        self.stop();
    }
}

impl Kept {
    fn read(path: &Path) -> Self {
        let envelope = fs::read_to_string(path.with_extension("env")).unwrap();
        let mut lines = envelope.lines().map(str::to_owned);
        let sender = lines.next().unwrap_or_default();
        Self { sender, recipients: lines.collect(), content: without_first_field(&fs::read(path).unwrap()) }
    }
}

/// A message without its first header field (the Received line of the last server) and that field's folded lines.
pub(crate) fn without_first_field(message: &[u8]) -> Vec<u8> {
    let mut lines = message.split_inclusive(|byte| *byte == b'\n').skip(1).peekable();
    while lines.next_if(|line| line.starts_with(b" ") || line.starts_with(b"\t")).is_some() {}
    lines.flatten().copied().collect()
}

fn user(name: &str) -> User {
    User::from_name(name).unwrap().unwrap_or_else(|| panic!("no user {name}"))
}

/// Nothing is rewritten, added or dropped, and one delivery takes all recipients.
const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = @DIR@/queue
data_directory = @DIR@/data
maillog_file_prefixes = @DIR@
maillog_file = @DIR@/log
myhostname = postfix.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
default_transport = keep:all
keep_destination_recipient_limit = 10000
local_header_rewrite_clients =
message_drop_headers =
disable_mime_input_processing = yes
message_size_limit = 0
mailbox_size_limit = 0
in_flow_delay = 0
";

const MASTER_CF: &str = "\
@ADDRESS@ inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
verify unix - - n - 1 verify
postlog unix-dgram n - n - 1 postlogd
keep unix - n n - 20 pipe flags= null_sender= user=nobody:nogroup eol=\\r\\n argv=@DIR@/keep ${queue_id} ${sender} ${recipient}
";

/// Writes the envelope and then, under its final name only when complete, the content.
const KEEP: &str = "\
#!/bin/sh
set -e
base=@DIR@/out/$(date +%s.%N).$1.$$
shift
printf '%s\\n' \"$@\" >\"$base.env\"
cat >\"$base.part\"
mv \"$base.part\" \"$base.msg\"
";
