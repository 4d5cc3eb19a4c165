"""Traffic over TLS: smtp-source and smtp-sink have none, so this is Python, in as many processes as the machine can use."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time

from machine import PATIENCE
from traffic import SIZE

HELLO = b"EHLO bench.test\r\n"


def certificate(directory):
    """Key and certificate in one file."""
    directory.mkdir(exist_ok=True)
    # Postfix reads it as root, others as who they are.
    pem = directory / "bench.pem"
    if not pem.exists():
        key, own = directory / "key", directory / "crt"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                   "-subj", "/CN=bench.test", "-keyout", str(key), "-out", str(own)]
        subprocess.run(command, check=True, capture_output=True)
        pem.write_text(key.read_text() + own.read_text())
    return pem


def context():
    found = ssl.create_default_context()
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    # Every connection makes a full handshake, as those of different clients do.
    found.options |= ssl.OP_NO_TICKET
    return found


def reply(stream):
    while True:
        line = stream.readline()
        if not line:
            raise EOFError("the server has gone")
        if line[3:4] != b"-":
            if line[:1] not in b"23":
                raise ValueError(line)
            return


def secured(port, tls):
    """A session behind the second EHLO."""
    clear = socket.create_connection(("127.0.0.1", port), PATIENCE)
    clear.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = clear.makefile("rb")
    reply(stream)
    for line in (HELLO, b"STARTTLS\r\n"):
        clear.sendall(line)
        reply(stream)
    stream.close()
    secure = tls.wrap_socket(clear)
    secure.sendall(HELLO)
    stream = secure.makefile("rb")
    reply(stream)
    return secure, stream


def send(port, tls):
    """One connection with one message."""
    secure, stream = secured(port, tls)
    body = b"Subject: bench\r\n\r\n" + b"x" * 68 + b"\r\n"
    body += (b"x" * 68 + b"\r\n") * ((SIZE - len(body)) // 70)
    for part in (b"MAIL FROM:<sender@bench.test>\r\n", b"RCPT TO:<recipient@bench.test>\r\n", b"DATA\r\n", body + b".\r\n",
                 b"QUIT\r\n"):
        secure.sendall(part)
        reply(stream)
    stream.close()
    secure.close()


def offer(port, sessions, count):
    """Sends messages in by STARTTLS; the rate."""
    processes = min(os.cpu_count(), sessions)
    begin = time.monotonic()
    children = [fork(port, sessions // processes, count * (n + 1) // processes - count * n // processes)
                for n in range(processes)]
    if any(os.waitpid(child, 0)[1] for child in children):
        print("a client over TLS has failed")
    return count / (time.monotonic() - begin)


def fork(port, threads, count):
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    left, lock, failed, tls = [count], threading.Lock(), [], context()

    def work():
        while not failed:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
            try:
                send(port, tls)
            except Exception as error:
                failed.append(error)
                print(f"client over TLS: {error!r}", file=sys.stderr)

    workers = [threading.Thread(target=work) for _ in range(max(1, threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    os._exit(bool(failed))


def hold(port, count):
    """Secure sessions behind EHLO that stay silent."""
    tls = context()
    return [secured(port, tls)[0] for _ in range(count)]
