"""What the machine tells: ports, memory, disks."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120


def spread(directory):
    subprocess.run(["chattr", "+T", str(directory)], capture_output=True)


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
