"""POP3: the servers that are compared, mailboxes of equal messages for both, and a client that counts."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from machine import PATIENCE, free_port, pss, rss, spread, wait_listening
from traffic import SIZE

USER, PASSWORD = "bench", "secret"
END = b"\r\n.\r\n"
# So many names of one file, in the mailboxes that are only listed: ext4 allows 65000.
NAMES = 10000

DOVECOT_CF = """\
base_dir = @DIR@/run
state_dir = @DIR@/state
log_path = @DIR@/log
protocols = pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:@MAIL@
mail_max_userip_connections = 2000
passdb {
  driver = static
  args = password=@PASSWORD@
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=@DIR@ allow_all_users=yes
}
service pop3-login {
  process_limit = 2000
  inet_listener pop3 {
    port = @PORT@
  }
  inet_listener pop3s {
    port = 0
  }
}
service pop3 {
  process_limit = 2000
}
"""


class OurPop:
    """emailrelay-pop, with a log file as an administrator would have one. All sessions see the spool itself."""

    name = "ours"

    def __init__(self, built, directory):
        self.built, self.directory, self.process = built, directory, None
        self.mailboxes = 0
        directory.mkdir()
        spread(directory)
        (directory / "auth").write_text(f"server plain {USER} {PASSWORD}\n")

    def fill(self, count, distinct):
        self.mailboxes += 1
        self.spool = self.directory / f"spool{self.mailboxes}"
        self.spool.mkdir()
        for number, letter in letters(self.spool / "letter", count, distinct):
            name = str(self.spool / f"emailrelay.1.1.{number}")
            os.link(letter, name + ".content") if letter else write(name + ".content")
            # Nobody opens it, but it has its name.
            os.close(os.open(name + ".envelope", os.O_CREAT | os.O_WRONLY, 0o660))

    def start(self):
        self.port = free_port()
        command = [str(self.built / "emailrelay-pop"), f"--spool-dir={self.spool}", f"--pop-auth={self.directory}/auth",
                   "--interface=127.0.0.1", f"--pop-port={self.port}", f"--log-file={self.directory}/log", "--log",
                   "--log-time", "--no-syslog", "--domain=bench.test", "--pop-max-connections=5000"]
        self.process = subprocess.Popen(command, start_new_session=True)
        wait_listening(self.port)

    def memory(self):
        return rss(self.process.pid)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None


class Dovecot:
    """A throw-away instance with a maildir: its own configuration, processes and users, nothing of the machine's."""

    name = "dovecot"

    def __init__(self, directory):
        self.directory, self.process, self.mailboxes = directory, None, 0
        directory.mkdir()
        directory.chmod(0o755)
        spread(directory)

    @staticmethod
    def missing():
        return not (os.geteuid() == 0 and shutil.which("dovecot") and Path("/usr/lib/dovecot/pop3").exists())

    def fill(self, count, distinct):
        self.mailboxes += 1
        self.mail = self.directory / f"mail{self.mailboxes}"
        for part in ("tmp", "new", "cur"):
            (self.mail / part).mkdir(parents=True)
        for number, letter in letters(self.mail / "letter", count, distinct):
            name = str(self.mail / "new" / f"1.M{number:06}P1.bench")
            os.link(letter, name) if letter else write(name)
        subprocess.run(["chown", "-R", "nobody:nogroup", str(self.mail)], check=True)

    def start(self):
        self.port = free_port()
        text = DOVECOT_CF
        for key, value in {"DIR": self.directory, "MAIL": self.mail, "PASSWORD": PASSWORD, "PORT": self.port}.items():
            text = text.replace(f"@{key}@", str(value))
        (self.directory / "conf").write_text(text)
        command = ["dovecot", "-F", "-c", str(self.directory / "conf")]
        self.process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        wait_listening(self.port)

    def memory(self):
        """The sum of the shares of all its processes."""
        found, waiting = 0, [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found += pss(pid)
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None


def letters(seed, count, distinct):
    """Numbers from 1, each with a file to be linked; or none, if each message is a file of its own."""
    for number in range(1, count + 1):
        if not distinct and number % NAMES == 1:
            write(str(seed))
        yield number, None if distinct else str(seed)
        if not distinct and (number % NAMES == 0 or number == count):
            os.unlink(seed)


def write(path):
    line = b"x" * 70 + b"\r\n"
    head = b"From: <sender@bench.test>\r\nSubject: bench\r\n\r\n"
    body = (line * (SIZE // len(line) + 1))[: SIZE - len(head) - 2] + b"\r\n"
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o660), "wb") as file:
        file.write(head + body)


class Client:
    """One connection, logged in."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line()
        begin = time.monotonic()
        self.command(f"USER {USER}")
        self.command(f"PASS {PASSWORD}")
        self.count = int(self.command("STAT").split()[1])
        # From the first word of the login until the size of the mailbox is known.
        self.took = time.monotonic() - begin

    def command(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.line()

    def line(self):
        found = b""
        while not found.endswith(b"\r\n"):
            found += self.receive()
        if not found.startswith(b"+OK"):
            sys.exit(f"POP3: {found}")
        return found

    def receive(self):
        found = self.socket.recv(1 << 18)
        if not found:
            sys.exit("POP3: the server has gone")
        return found

    def close(self):
        self.command("QUIT")
        self.socket.close()

    def retrieve(self, pipelined):
        """All messages, and how many in a second."""
        begin = time.monotonic()
        commands = [b"RETR %d\r\n" % number for number in range(1, self.count + 1)]
        if pipelined:
            sender = threading.Thread(target=self.socket.sendall, args=(b"".join(commands),))
            sender.start()
            self.ends(self.count)
            sender.join()
        else:
            for command in commands:
                self.socket.sendall(command)
                self.ends(1)
        return self.count / (time.monotonic() - begin)

    def ends(self, wanted):
        """Reads so many replies of several lines. No message has a line with a lone dot."""
        seen, tail = 0, b""
        while seen < wanted:
            found = tail + self.receive()
            seen += found.count(END)
            # What is counted is not kept.
            tail = found[-(len(END) - 1):]
        if seen > wanted or not found.endswith(END):
            sys.exit("POP3: more came than was asked for")
