"""How quickly a file comes from a state's server, beside OpenSSH's `sftp`."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.storage.sftp import SftpTarget
from benchmarks.results import Results
from benchmarks.sftp_child import measure_download
from tests.support.openssh import OpenSshServer
from tests.support.sftp import NAME, key_target

SIZE = 200_000_000
MIB = SIZE / 2**20
CASE = "200 MB over SSH on one host"
MEMORY = 150


def run(options: argparse.Namespace, results: Results) -> None:
    server = OpenSshServer()
    try:
        with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
            directory = server.new_directory()
            write_random(directory / NAME)
            measure(
                options.repeats,
                results,
                key_target(server, directory=str(directory)),
                OpenSsh(server, Path(name)),
            )
    finally:
        server.stop()


def measure(repeats: int, results: Results, target: SftpTarget, openssh: "OpenSsh") -> None:
    """Download by each of the three in turn, and compare; every download is of the same file."""
    ours, theirs, same_cipher, idle, peak = [], [], [], [], []
    for repeat in range(repeats):
        file = openssh.directory / "ours"
        done = measure_download(target, file)
        assert file.stat().st_size == SIZE
        file.unlink()
        ours.append(done.seconds)
        idle.append(done.idle_mib)
        peak.append(done.peak_mib)
        theirs.append(openssh.get(target))
        same_cipher.append(openssh.get(target, "-c", done.cipher))
        print(f"  {repeat + 1}/{repeats}", file=sys.stderr)
    series = {
        f"certsync ({done.cipher})": ours,
        "OpenSSH sftp (its default cipher)": theirs,
        f"OpenSSH sftp ({done.cipher})": same_cipher,
    }
    for who, seconds in series.items():
        results.add(CASE, who, "s", seconds)
        results.add(CASE, who, "MiB/s", [MIB / value for value in seconds])
    results.add(CASE, "memory before", "MiB", idle)
    results.add(CASE, "peak memory", "MiB", peak)
    mine, default = results.series[1], results.series[3]
    results.at_least(CASE, "throughput / OpenSSH's", mine.median / default.median, 1.0)
    grown = max(after - before for after, before in zip(peak, idle, strict=True))
    results.at_most(CASE, "memory above idle", grown, MEMORY, " MiB")
    results.notes.append(
        "Time is that of connecting, logging in by key, the transfer and closing; certsync's has also the "
        "listing of the directory, the file's SHA-256 and its fsync, OpenSSH's the start of its processes."
    )


class OpenSsh:
    """The client `sftp` in batch mode, with nothing of this user's configuration."""

    def __init__(self, server: OpenSshServer, directory: Path) -> None:
        self.directory = directory
        host_key = (server.root / "host_ed25519.pub").read_text()
        (directory / "known_hosts").write_text(f"[{server.host}]:{server.port} {host_key}")
        (directory / "key").touch(mode=0o600)
        (directory / "key").write_text(server.private_key)

    def get(self, target: SftpTarget, *more: str) -> float:
        """Return the seconds of a download."""
        file = self.directory / "theirs"
        command = ["sftp", "-q", "-F", "none", "-b", "-", "-P", str(target.port), *more]
        options = {
            "IdentityFile": self.directory / "key",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.directory / "known_hosts",
            "StrictHostKeyChecking": "yes",
        }
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        batch = f"get {target.directory}/{NAME} {file}\n"
        began = time.perf_counter()
        subprocess.run(
            [*command, f"{target.username}@{target.host}"],
            input=batch,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - began
        assert file.stat().st_size == SIZE
        file.unlink()
        return seconds


def write_random(file: Path) -> None:
    """Write bytes that nothing can compress."""
    with file.open("wb") as out:
        for _ in range(SIZE // 1_000_000):
            out.write(os.urandom(1_000_000))
    file.chmod(0o644)
