"""Clients: what they send, and how long it takes."""

import socket
import subprocess
import sys
import time

from machine import PATIENCE

SIZE = 4096


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
