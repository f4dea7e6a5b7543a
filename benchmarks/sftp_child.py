"""One download in a process of its own, so that its memory is its own."""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from app.storage.sftp import SftpLimits, SftpTarget, open_sftp
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt
from benchmarks.import_child import peak_mib
from tests.support.sftp import recognise


@dataclass(frozen=True)
class Downloaded:
    """Seconds from before the connection until after its end, the cipher spoken, and memory in MiB."""

    seconds: float
    cipher: str
    idle_mib: float
    peak_mib: float


def measure_download(target: SftpTarget, file: Path) -> Downloaded:
    """Download the newest file of the target, whose login is by key, to `file` in a child process."""
    assert target.private_key is not None
    plain = asdict(target) | {"private_key": target.private_key.get_secret_value()}
    command = [sys.executable, "-m", "benchmarks.sftp_child", str(file)]
    done = subprocess.run(command, input=json.dumps(plain), check=True, stdout=subprocess.PIPE, text=True)
    return Downloaded(**json.loads(done.stdout))


async def download(target: SftpTarget, file: Path) -> Downloaded:
    """Do what a run does: connect, log in, list, receive, close."""
    limits = SftpLimits(connect=10, login=20, transfer=600, max_bytes=1 << 30)
    attempt = Attempt(target, algorithms())
    idle = peak_mib()
    began = time.perf_counter()
    async with open_sftp(target, limits, attempt) as session:
        newest, *_ = await session.list_files(recognise)
        await session.receive(newest, file, lambda _received, _size: None)
    seconds = time.perf_counter() - began
    return Downloaded(seconds, attempt.diagnosis()["recv_cipher"], idle, peak_mib())


if __name__ == "__main__":
    given = json.load(sys.stdin)
    asked = SftpTarget(**given | {"private_key": SecretStr(given["private_key"])})
    print(json.dumps(asdict(asyncio.run(download(asked, Path(sys.argv[1]))))))
