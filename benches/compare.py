#!/usr/bin/env python3
"""Compares this E-MailRelay with a real postfix: one run, one machine, one table.

Needs a release build, and from Debian's packages: postfix (for itself, smtp-source and smtp-sink), systemd
(systemd-socket-activate), Python 3.9; root, because postfix needs it. Installs nothing, touches nothing of the machine's own
postfix, and removes what it made. What is missing is left out of the table.

The contenders take turns, and each figure is the median of all rounds. Trust the ratios; the absolute figures are those of
this machine at this moment. Every measurement has a directory of its own, and nothing is removed before the end: ext4 without
a journal makes files slowly where others were removed in the last minutes (56 % of all time went there).
"""

import argparse
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = 4096
SESSIONS = {1: 1500, 20: 6000, 50: 6000, 200: 4000, 1000: 4000}
DRAIN = 5000
IDLE = 1000
PATIENCE = 120

HOLD_CF = """\
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
smtpd_timeout = 300s
# Stored and left alone: only the intake is measured, without the queue manager.
smtpd_client_restrictions = static:HOLD
relayhost = [127.0.0.1]:@SINK@
"""

MASTER_CF = """\
127.0.0.1:@PORT@ inet n - n - - smtpd
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
scache unix - - n - 1 scache
smtp unix - - n - - smtp
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
verify unix - - n - 1 verify
postlog unix-dgram n - n - 1 postlogd
"""


def main():
    options = parse()
    sys.stdout.reconfigure(line_buffering=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    built = Path(options.built).resolve()
    if not (built / "emailrelay-smtp").exists():
        sys.exit(f"no release build in {built}")
    with tempfile.TemporaryDirectory(prefix="emailrelay-bench.", dir=options.dir) as directory:
        os.chmod(directory, 0o755)
        # ext4 then spreads the directories below over the disk, away from what others remove. Other file systems do not know it.
        spread(directory)
        bench = Bench(options, built, Path(directory))
        try:
            bench.run()
        finally:
            bench.close()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser.add_argument("--built", default=os.environ.get("BUILT", f"{target}/release"), help="directory of our programs")
    parser.add_argument("--dir", default="/var/tmp", help="a directory on a real disk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="share of the messages to send")
    parser.add_argument("--only", default="intake,drain,memory,start", help="which parts")
    parser.add_argument("--sessions", default=",".join(map(str, SESSIONS)), help="sessions of the intake part")
    parser.add_argument("--no-postfix", action="store_true", help="ours alone")
    return parser.parse_args()


class Bench:
    def __init__(self, options, built, directory):
        self.options, self.directory = options, directory
        self.full = Ours("ours", built, directory / "full", "full")
        self.none = Ours("ours, durability none", built, directory / "none", "none")
        self.postfix = None
        if not options.no_postfix:
            if os.geteuid() == 0 and shutil.which("postfix"):
                self.postfix = Postfix(directory / "postfix")
            else:
                print("postfix is left out: it is not installed, or this is not root")
        self.contenders = [c for c in (self.full, self.none, self.postfix) if c]

    def run(self):
        print(f"machine      {machine()}")
        print(f"directory    {self.directory} on {file_system(self.directory)}")
        print(f"load average {os.getloadavg()[0]:.1f} at the start; {self.options.rounds} rounds, medians\n")
        for part in self.options.only.split(","):
            getattr(self, part)()
        print(f"\nload average {os.getloadavg()[0]:.1f} at the end")

    def close(self):
        for contender in self.contenders:
            contender.stop()

    def intake(self):
        print(f"intake of {SIZE} byte messages, one message per connection, messages/s")
        self.row("sessions", [c.name for c in self.contenders], "ours : postfix")
        for sessions in map(int, self.options.sessions.split(",")):
            count = max(sessions, int(SESSIONS.get(sessions, 8000) * self.options.scale))
            rates = {c: [] for c in self.contenders}
            for turn in range(self.options.rounds):
                for contender in rotate(self.contenders, turn):
                    contender.start()
                    offer(contender.port, sessions, sessions)
                    os.sync()
                    rates[contender].append(offer(contender.port, sessions, count))
                    contender.check(sessions + count)
                    contender.stop()
            self.figures(str(sessions), rates)

    def drain(self):
        count = int(DRAIN * self.options.scale)
        print(f"\ndrain of {count} queued {SIZE} byte messages to smtp-sink, messages/s")
        contenders = [c for c in self.contenders if c is not self.none]
        self.row("", [c.name for c in contenders] + ["smtp-source -d"], "ours : postfix")
        rates = {c: [] for c in contenders}
        direct = []
        for turn in range(self.options.rounds):
            for contender in rotate(contenders, turn):
                contender.start()
                offer(contender.port, 20, count)
                os.sync()
                with Sink(count) as sink:
                    rates[contender].append(count / contender.drain(sink))
            with Sink(count) as sink:
                begin = time.monotonic()
                load(sink.port, 4, count, "-d")
                sink.wait()
                direct.append(count / (time.monotonic() - begin))
        self.figures("", rates | {"direct": direct})

    def memory(self):
        print(f"\nmemory, kB (ours: resident; postfix: sum of the shares of its processes)")
        self.row("", ["ours", "postfix"], "goal")
        for contender in (self.full, self.postfix):
            if contender:
                contender.start()
                time.sleep(1)
        idle = [c and c.memory() for c in (self.full, self.postfix)]
        self.row("idle", map(number, idle), "6144")
        held = [(c, hold(c.port, count)) if c else (None, []) for c, count in ((self.full, IDLE), (self.postfix, 90))]
        time.sleep(1)
        each = [(c.memory() - i) / len(s) if c else None for (c, s), i in zip(held, idle)]
        self.row("per idle session", map(number, each), "12")
        for _, sockets in held:
            for one in sockets:
                one.close()
        time.sleep(1)
        if self.full.running():
            offer(self.full.port, 200, int(5000 * self.options.scale))
            self.row("after load", [number(self.full.memory())], "")
        for contender in (self.full, self.postfix):
            if contender:
                contender.stop()

    def start(self):
        print("\ncold start, first connection to 220, ms")
        self.row("", ["ours", "postfix"], "goal")
        ours = [self.full.cold_start() for _ in range(7 * self.options.rounds)]
        theirs = []
        if self.postfix:
            for _ in range(self.options.rounds):
                self.postfix.start()
                theirs.append(greeting(self.postfix.port))
                self.postfix.stop()
        # The least is reported, too: other work on the machine only ever makes this slower.
        self.row("median", map(number, [median(ours), median(theirs)]), "4")
        self.row("least", map(number, [min(ours, default=None), min(theirs, default=None)]), "4")

    def figures(self, name, rates):
        medians = {c: median(found) for c, found in rates.items()}
        ours, theirs = medians.get(self.full), medians.get(self.postfix)
        ratio = f"{ours / theirs:.1f}" if ours and theirs else "-"
        spread = ["{:.0f} ({:.0f}-{:.0f})".format(medians[c], min(r), max(r)) for c, r in rates.items()]
        self.row(name, spread, ratio)

    def row(self, name, cells, last):
        print(f"{name:<18}" + "".join(f"{cell!s:>24}" for cell in cells) + f"{last:>18}")


class Ours:
    """emailrelay-smtp and emailrelay-forward, with a log file as an administrator would have one."""

    def __init__(self, name, built, directory, durability):
        self.name, self.built, self.directory, self.durability = name, built, directory, durability
        self.spool = None
        self.starts = 0
        self.process = None
        directory.mkdir()
        spread(directory)
        self.fresh()

    def fresh(self):
        self.starts += 1
        self.port = free_port()
        self.spool = self.directory / f"spool{self.starts}"
        self.spool.mkdir(parents=True)

    def options(self):
        return [f"--spool-dir={self.spool}", f"--log-file={self.directory}/log", "--log", "--log-time", "--no-syslog",
                f"--durability={self.durability}"]

    def smtp(self, interface):
        return [str(self.built / "emailrelay-smtp"), *self.options(), *interface, "--smtp-max-connections=5000",
                "--domain=bench.test"]

    def start(self):
        self.fresh()
        command = self.smtp(["--interface=127.0.0.1", f"--port={self.port}"])
        # As postfix does, or a service manager: the kernel shares the processors among sessions.
        self.process = subprocess.Popen(command, start_new_session=True)
        wait_listening(self.port)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def running(self):
        return self.process is not None

    def check(self, expected):
        stored = sum(name.endswith(".envelope") for name in os.listdir(self.spool))
        if stored != expected:
            sys.exit(f"{self.name}: {stored} messages are stored, not {expected}")

    def drain(self, sink):
        self.stop()
        command = [str(self.built / "emailrelay-forward"), *self.options(), f"--forward-to=127.0.0.1:{sink.port}",
                   "--linger=0", "--domain=bench.test"]
        begin = time.monotonic()
        process = subprocess.Popen(command, start_new_session=True)
        sink.wait()
        took = time.monotonic() - begin
        # The sink is gone before it has answered the last message, so that one is left.
        process.wait(PATIENCE)
        return took

    def memory(self):
        return rss(self.process.pid)

    def cold_start(self):
        port = free_port()
        command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=smtp", *self.smtp([])]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            while not is_listening(port):
                time.sleep(0.01)
            time.sleep(0.05)
            return greeting(port)
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Postfix:
    """A throw-away instance. It stores with its normal durability; its messages are held in the queue."""

    name = "postfix"

    def __init__(self, parent):
        self.parent, self.starts, self.started = parent, 0, False

    def fresh(self):
        self.starts += 1
        self.directory = self.parent / str(self.starts)
        self.port, self.sink = free_port(), free_port()
        self.parent.mkdir(exist_ok=True)
        self.parent.chmod(0o755)
        spread(self.parent)
        for name in ("conf", "queue", "data"):
            (self.directory / name).mkdir(parents=True)
        self.directory.chmod(0o755)
        shutil.chown(self.directory / "data", "postfix")
        self.configure()

    def configure(self, held=True):
        text = HOLD_CF if held else "".join(l for l in HOLD_CF.splitlines(True) if "HOLD" not in l)
        for name, content in (("main.cf", text), ("master.cf", MASTER_CF)):
            for key in ("DIR", "PORT", "SINK"):
                value = {"DIR": self.directory, "PORT": self.port, "SINK": self.sink}[key]
                content = content.replace(f"@{key}@", str(value))
            (self.directory / "conf" / name).write_text(content)

    def control(self, *command):
        tool, *arguments = command
        result = subprocess.run([tool, "-c", str(self.directory / "conf"), *arguments], capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"{' '.join(command)}: {result.stderr}")

    def start(self):
        self.fresh()
        self.control("postfix", "start")
        self.started = True
        wait_listening(self.port)

    def stop(self):
        if self.started:
            self.started = False
            self.control("postfix", "stop")

    def running(self):
        return self.started

    def check(self, expected):
        held = len(self.queued("hold"))
        if held != expected:
            sys.exit(f"postfix: {held} messages are held, not {expected}")

    def queued(self, *queues):
        return [Path(d) / f for q in queues for d, _, files in os.walk(self.directory / "queue" / q) for f in files]

    def drain(self, sink):
        self.sink = sink.port
        self.configure(held=False)
        self.control("postfix", "reload")
        self.control("postsuper", "-H", "ALL")
        begin = time.monotonic()
        self.control("postqueue", "-f")
        sink.wait()
        took = time.monotonic() - begin
        self.stop()
        return took

    def memory(self):
        master = int((self.directory / "queue/pid/master.pid").read_text())
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return sum(pss(int(pid)) for pid in [master, *children])


class Sink:
    """smtp-sink, which ends after as many messages as were queued."""

    def __init__(self, count):
        self.port = free_port()
        self.process = subprocess.Popen(["smtp-sink", "-u", "nobody", "-M", str(count), f"127.0.0.1:{self.port}", "1000"]
                                        if os.geteuid() == 0 else
                                        ["smtp-sink", "-M", str(count), f"127.0.0.1:{self.port}", "1000"])
        while not is_listening(self.port):
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self):
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            sys.exit("not all messages have reached smtp-sink")


def spread(directory):
    subprocess.run(["chattr", "+T", str(directory)], capture_output=True)


def load(port, sessions, count, *options):
    command = ["smtp-source", "-s", str(sessions), "-m", str(count), "-l", str(SIZE), *options,
               "-f", "sender@bench.test", "-t", "recipient@bench.test", f"127.0.0.1:{port}"]
    return subprocess.run(command, capture_output=True, text=True)


def offer(port, sessions, count):
    """Sends messages in; the rate."""
    begin = time.monotonic()
    result = load(port, sessions, count)
    if result.returncode or result.stderr:
        print(f"smtp-source -s {sessions}: {result.stderr.strip() or result.returncode}")
    return count / (time.monotonic() - begin)


def hold(port, count):
    """Sessions behind EHLO that stay silent."""
    sockets = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        connection.recv(1000)
        connection.sendall(b"EHLO bench.test\r\n")
        connection.recv(1000)
        sockets.append(connection)
    return sockets


def greeting(port):
    """Milliseconds from connect to greeting."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        text = connection.recv(1000)
        took = time.monotonic() - begin
        if not text.startswith(b"220"):
            sys.exit(f"no greeting but {text}")
    return took * 1000


def is_listening(port):
    """Asks the kernel, since a connection would start what the socket is held for."""
    wanted = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(fields[1] == wanted and fields[3] == "0A" for fields in map(str.split, lines))


def wait_listening(port):
    end = time.monotonic() + PATIENCE
    while not is_listening(port):
        if time.monotonic() > end:
            sys.exit(f"nobody listens on port {port}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rss(pid):
    return field(f"/proc/{pid}/status", "VmRSS:")


def pss(pid):
    return field(f"/proc/{pid}/smaps_rollup", "Pss:")


def field(path, name):
    lines = Path(path).read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def rotate(things, turn):
    turn %= len(things)
    return things[turn:] + things[:turn]


def median(found):
    return statistics.median(found) if found else None


def number(value):
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{os.cpu_count()} x {model}, Linux {os.uname().release}"


def file_system(path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True).stdout.strip()
    device = os.stat(path).st_dev
    for line in open("/proc/self/mountinfo"):
        fields = line.split()
        if fields[2] == f"{os.major(device)}:{os.minor(device)}":
            at = fields.index("-")
            kind, source = fields[at + 1], fields[at + 2]
            journal = os.path.exists(f"/proc/fs/jbd2/{os.path.basename(source)}-8")
            kind += {"ext4": ", with journal" if journal else ", without journal"}.get(kind, "")
    return f"{kind}: NOT A DISK, syncs cost nothing there" if kind in ("tmpfs", "ramfs") else kind


if __name__ == "__main__":
    # An end by signal cleans up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
