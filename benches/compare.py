#!/usr/bin/env python3
"""Compares this E-MailRelay with a real postfix, and its POP3 with a real dovecot: one run, one machine, one table.

Needs a release build, and from Debian's packages: postfix (for itself, smtp-source and smtp-sink), dovecot-pop3d, systemd
(systemd-socket-activate), Python 3.9; root, because both need it. Installs nothing, touches nothing of the machine's own
postfix and dovecot, and removes what it made. What is missing is left out of the table.
`make bench BENCH='--only intake --sessions 20'` runs a part.

"least durable" in the intake is least.rs: no protocol, no log, one file for each message, synced before the answer. It says what
machine, disk and load generator allow at all. smtp-sink stores nothing: a server to compare with, and no upper limit, since a
server that answers faster gets more out of the same load generator.

The contenders take turns, and each figure is the median of all rounds. Trust the ratios; the absolute figures are those of
this machine at this moment. Every measurement has a directory of its own, and nothing is removed before the end: ext4 without
a journal makes files slowly where others were removed in the last minutes (56 % of all time went there).
"""

import argparse
import os
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import mailboxes
import secure
from contenders import Least, Ours, Postfix, SecureHop, Sink, SlowHop
from machine import file_system, machine, spread
from traffic import SIZE, greeting, hold, load, offer

SESSIONS = {1: 1500, 20: 6000, 50: 6000, 200: 4000, 1000: 4000}
DRAIN = 5000
DRAIN_SLOW = 1000
# What postfix allows one destination by itself; ours are 4.
CONNECTIONS = 20
IDLE = 1000
IDLE_TLS = 2000
TLS_SESSIONS = (1, 20, 100)
TLS_COUNT = 2000
RETRIEVED = 5000
LARGE = 100000
# Of dovecot fewer: each of its sessions has processes of its own.
IDLE_POP = {"ours": 1000, "dovecot": 50}


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
    parser.add_argument("--only", default="intake,drain,memory,start,intake_tls,drain_tls,drain_slow,memory_tls,pop,pop_large,pop_idle",
                        help="which parts")
    parser.add_argument("--sessions", default=",".join(map(str, SESSIONS)), help="sessions of the intake part")
    parser.add_argument("--no-postfix", action="store_true", help="no postfix, and no dovecot")
    return parser.parse_args()


class Bench:
    def __init__(self, options, built, directory):
        self.options, self.directory = options, directory
        self.full = Ours("ours", built, directory / "full", "full")
        self.none = Ours("ours, durability none", built, directory / "none", "none")
        self.postfix = self.least = None
        if shutil.which("rustc"):
            self.least = Least(directory / "least")
        self.hops = 0
        if not options.no_postfix:
            if os.geteuid() == 0 and shutil.which("postfix"):
                self.postfix = Postfix(directory / "postfix")
            else:
                print("postfix is left out: it is not installed, or this is not root")
        self.contenders = [c for c in (self.full, self.none, self.postfix) if c]
        self.pops = []

    def run(self):
        print(f"machine      {machine()}")
        print(f"directory    {self.directory} on {file_system(self.directory)}")
        print(f"load average {os.getloadavg()[0]:.1f} at the start; {self.options.rounds} rounds, medians\n")
        for part in self.options.only.split(","):
            getattr(self, part)()
        print(f"\nload average {os.getloadavg()[0]:.1f} at the end")

    def close(self):
        for contender in [*self.contenders, *self.pops] + [self.least] * bool(self.least):
            contender.stop()

    def intake(self):
        print(f"intake of {SIZE} byte messages, one message per connection, messages/s")
        contenders = self.contenders + [self.least] * bool(self.least)
        self.row("sessions", [*(c.name for c in contenders), "smtp-sink (no disk)"], "ours : postfix")
        for sessions in map(int, self.options.sessions.split(",")):
            count = max(sessions, int(SESSIONS.get(sessions, 8000) * self.options.scale))
            rates = {c: [] for c in contenders}
            ceiling = []
            for turn in range(self.options.rounds):
                for contender in rotate(contenders, turn):
                    contender.start()
                    offer(contender.port, sessions, sessions)
                    os.sync()
                    rates[contender].append(offer(contender.port, sessions, count))
                    contender.check(sessions + count)
                    contender.stop()
                with Sink() as sink:
                    ceiling.append(offer(sink.port, sessions, count))
            self.figures(str(sessions), rates | {"ceiling": ceiling})

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

    def intake_tls(self):
        count = int(TLS_COUNT * self.options.scale)
        print(f"\nintake of {count} messages of {SIZE} bytes by STARTTLS, one handshake for each, messages/s")
        contenders = [c for c in self.contenders if c is not self.none]
        self.row("sessions", [c.name for c in contenders], "ours : postfix")
        with self.secured(contenders):
            for sessions in TLS_SESSIONS:
                rates = {c: [] for c in contenders}
                for turn in range(self.options.rounds):
                    for contender in rotate(contenders, turn):
                        contender.start()
                        rates[contender].append(secure.offer(contender.port, sessions, count))
                        contender.check(count)
                        contender.stop()
                self.figures(str(sessions), rates)

    def drain_slow(self):
        count = int(DRAIN_SLOW * self.options.scale)
        print(f"\ndrain of {count} queued {SIZE} byte messages to a next hop that takes 50 ms for each reply, messages/s")
        wide = f"ours, {CONNECTIONS} connections"
        kinds = {"ours": (self.full, []), wide: (self.full, [f"--forward-connections={CONNECTIONS}", "--forward-connections-max=100"])}
        if self.postfix:
            kinds["postfix"] = (self.postfix, [])
        self.row("", kinds, f"{CONNECTIONS} : postfix")
        rates = {name: [] for name in kinds}
        for turn in range(self.options.rounds):
            for name in rotate(list(kinds), turn):
                contender, more = kinds[name]
                contender.start()
                offer(contender.port, 20, count)
                os.sync()
                with SlowHop(count) as hop:
                    rates[name].append(count / contender.drain(hop, *more))
        medians = {name: median(found) for name, found in rates.items()}
        ratio = f"{medians[wide] / medians['postfix']:.1f}" if "postfix" in medians else "-"
        self.row("", ["{:.0f} ({:.0f}-{:.0f})".format(medians[n], min(r), max(r)) for n, r in rates.items()], ratio)

    def drain_tls(self):
        count = int(DRAIN * self.options.scale)
        print(f"\ndrain of {count} queued {SIZE} byte messages over TLS, messages/s")
        contenders = [c for c in self.contenders if c is not self.none]
        self.row("", [c.name for c in contenders], "ours : postfix")
        rates = {c: [] for c in contenders}
        with self.secured(contenders) as pem:
            for turn in range(self.options.rounds):
                for contender in rotate(contenders, turn):
                    contender.start()
                    offer(contender.port, 20, count)
                    os.sync()
                    self.hops += 1
                    with SecureHop(self.full.built, self.directory / f"hop{self.hops}", pem, count) as hop:
                        rates[contender].append(count / contender.drain(hop))
        self.figures("", rates)

    def memory_tls(self):
        print(f"\nresident memory of ours with {IDLE_TLS} idle sessions, kB for each")
        self.row("", ["in clear", "TLS"], "")
        figures = []
        for tls in (False, True):
            with self.secured([self.full] if tls else []):
                self.full.start()
                # Pools and caches are there from the first sessions on.
                one = (secure.hold if tls else hold)(self.full.port, 10)
                time.sleep(1)
                before = self.full.memory()
                held = (secure.hold if tls else hold)(self.full.port, IDLE_TLS)
                time.sleep(1)
                figures.append((self.full.memory() - before) / len(held))
                for connection in [*one, *held]:
                    connection.close()
                self.full.stop()
        self.row("per idle session", map(number, figures), "")

    @contextmanager
    def secured(self, contenders):
        pem = secure.certificate(self.directory / "tls")
        for contender in contenders:
            contender.tls = pem
        try:
            yield pem
        finally:
            for contender in contenders:
                contender.tls = None

    def pop(self):
        count = int(RETRIEVED * self.options.scale)
        print(f"\nPOP3: RETR of {count} messages of {SIZE} bytes on one connection, messages/s")
        contenders = self.pop_servers()
        self.row("", [c.name for c in contenders], "ours : dovecot")
        for contender in contenders:
            contender.fill(count, distinct=True)
            contender.start()
            # The first session is not measured: dovecot makes its index then, and the kernel reads the files.
            self.session(contender, count, lambda client: client.retrieve(False))
        for name, pipelined in (("one by one", False), ("pipelined", True)):
            rates = {c: [] for c in contenders}
            for turn in range(self.options.rounds):
                for contender in rotate(contenders, turn):
                    rates[contender].append(self.session(contender, count, lambda client: client.retrieve(pipelined)))
            self.figures(name, rates, contenders)
        self.stop(contenders)

    def pop_large(self):
        count = int(LARGE * self.options.scale)
        print(f"\nPOP3: a mailbox of {count} messages")
        contenders = self.pop_servers()
        self.row("", [c.name for c in contenders], "goal")
        figures = {c: [] for c in contenders}
        for contender in contenders:
            contender.fill(count, distinct=False)
            contender.start()
            idle = contender.memory()
            clients = [mailboxes.Client(contender.port)]
            figures[contender] += [clients[0].took * 1000]
            one = contender.memory()
            clients += [mailboxes.Client(contender.port) for _ in range(3)]
            figures[contender] += [median([c.took for c in clients[1:]]) * 1000, one - idle, (contender.memory() - one) / 3]
            if any(client.count != count for client in clients):
                sys.exit(f"{contender.name}: not all messages are in the mailbox")
            for client in clients:
                client.close()
        names = ("first login, ms", "later logins, ms", "its memory, kB", "one more, kB")
        for at, (name, goal) in enumerate(zip(names, ("500", "500", "", ""))):
            self.row(name, [number(figures[c][at]) for c in contenders], goal)
        self.stop(contenders)

    def pop_idle(self):
        print("\nPOP3: memory with idle sessions, kB (ours: resident; dovecot: sum of the shares of its processes)")
        contenders = self.pop_servers()
        self.row("", [c.name for c in contenders], "")
        idle, each = [], []
        for contender in contenders:
            contender.fill(10, distinct=True)
            contender.start()
            # What is made once is there from the first sessions on.
            held = [mailboxes.Client(contender.port) for _ in range(3)]
            idle.append(contender.memory())
            more = [mailboxes.Client(contender.port) for _ in range(max(10, int(IDLE_POP[contender.name] * self.options.scale)))]
            time.sleep(1)
            each.append((contender.memory() - idle[-1]) / len(more))
            for client in held + more:
                client.close()
        self.row("three sessions", map(number, idle), "")
        self.row("each one more", map(number, each), "")
        self.stop(contenders)

    def pop_servers(self):
        place = Path(tempfile.mkdtemp(prefix="pop.", dir=self.directory))
        place.chmod(0o755)
        self.pops = [mailboxes.OurPop(self.full.built, place / "ours")]
        if not self.options.no_postfix:
            if mailboxes.Dovecot.missing():
                print("dovecot is left out: it is not installed, or this is not root")
            else:
                self.pops.append(mailboxes.Dovecot(place / "dovecot"))
        return self.pops

    @staticmethod
    def session(contender, count, work):
        client = mailboxes.Client(contender.port)
        if client.count != count:
            sys.exit(f"{contender.name}: {client.count} messages are in the mailbox, not {count}")
        result = work(client)
        client.close()
        return result

    @staticmethod
    def stop(contenders):
        for contender in contenders:
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

    def figures(self, name, rates, rivals=()):
        medians = {c: median(found) for c, found in rates.items()}
        ours, theirs = ([medians.get(c) for c in rivals or (self.full, self.postfix)] + [None])[:2]
        ratio = f"{ours / theirs:.1f}" if ours and theirs else "-"
        spread = ["{:.0f} ({:.0f}-{:.0f})".format(medians[c], min(r), max(r)) for c, r in rates.items()]
        self.row(name, spread, ratio)

    def row(self, name, cells, last):
        print(f"{name:<18}" + "".join(f"{cell!s:>24}" for cell in cells) + f"{last:>18}")


def rotate(things, turn):
    turn %= len(things)
    return things[turn:] + things[:turn]


def median(found):
    return statistics.median(found) if found else None


def number(value):
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    # An end by signal cleans up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
