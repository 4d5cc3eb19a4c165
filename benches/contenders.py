"""The mail servers that are compared, each in directories of its own."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine import PATIENCE, free_port, is_listening, pss, rss, spread, wait_listening
from traffic import greeting

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


class Ours:
    """emailrelay-smtp and emailrelay-forward, with a log file as an administrator would have one."""

    def __init__(self, name, built, directory, durability):
        self.name, self.built, self.directory, self.durability = name, built, directory, durability
        self.spool = None
        self.starts = 0
        self.process = None
        # The file with key and certificate, for a measurement over TLS.
        self.tls = None
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
                "--domain=bench.test"] + self.tls_options()

    def tls_options(self):
        return ["--server-tls", f"--server-tls-certificate={self.tls}"] if self.tls else []

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

    def drain(self, sink, *more):
        self.stop()
        command = [str(self.built / "emailrelay-forward"), *self.options(), f"--forward-to=127.0.0.1:{sink.port}",
                   "--linger=0", "--domain=bench.test", *more, *(["--client-tls", "--client-tls-required"] if self.tls else [])]
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


class Least:
    """The least that a durable server can do (least.rs): no server on this machine gets above it with a file for each message."""

    name = "least durable"

    def __init__(self, directory):
        self.directory, self.starts, self.process = directory, 0, None
        directory.mkdir()
        spread(directory)
        self.program = directory / "least"
        source = Path(__file__).with_name("least.rs")
        subprocess.run(["rustc", "-O", "--edition", "2024", "-o", str(self.program), str(source)], check=True)

    def start(self):
        self.starts += 1
        self.port = free_port()
        self.spool = self.directory / f"spool{self.starts}"
        self.spool.mkdir()
        self.process = subprocess.Popen([str(self.program), str(self.port), str(self.spool)], start_new_session=True)
        wait_listening(self.port)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    def check(self, expected):
        stored = sum(name.endswith(".envelope") for name in os.listdir(self.spool))
        if stored != expected:
            sys.exit(f"{self.name}: {stored} messages are stored, not {expected}")


class Postfix:
    """A throw-away instance. It stores with its normal durability; its messages are held in the queue."""

    name = "postfix"

    def __init__(self, parent):
        self.parent, self.starts, self.started = parent, 0, False
        self.tls = None

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
        if self.tls:
            text += f"smtpd_tls_chain_files = {self.tls}\nsmtpd_tls_security_level = may\nsmtp_tls_security_level = encrypt\n"
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
    """smtp-sink; ends by itself after `count` messages, if that is given."""

    def __init__(self, count=None):
        self.port = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        limit = ["-M", str(count)] if count else []
        self.process = subprocess.Popen(["smtp-sink", *user, *limit, f"127.0.0.1:{self.port}", "1000"])
        wait_listening(self.port)

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


class SlowHop(Sink):
    """Takes 50 ms for each reply."""

    def __init__(self, count):
        self.port = free_port()
        program = Path(__file__).with_name("slow.py")
        self.process = subprocess.Popen([sys.executable, str(program), str(self.port), str(count), "50"])
        wait_listening(self.port)


class SecureHop:
    """A next hop over TLS: smtp-sink has none, so it is ours, storing without syncs. The same for all contenders."""

    def __init__(self, built, directory, pem, count):
        self.server, self.count = Ours("hop", built, directory, "none"), count
        self.server.tls = pem
        self.server.start()
        self.port = self.server.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.server.spool)

    def wait(self):
        end = time.monotonic() + PATIENCE
        while sum(name.endswith(".envelope") for name in os.listdir(self.server.spool)) < self.count:
            if time.monotonic() > end:
                sys.exit("not all messages have reached the next hop")
            time.sleep(0.02)
