"""One import in a process of its own, so that its memory is its own."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.constants import DEFAULT_DISTRICT, RunStatus
from app.factory import Factory
from app.models import Certification, Endorsement, ImportFile, Run
from app.services.runs import RunOptions
from app.settings import Settings
from workers.settings import NICENESS


@dataclass(frozen=True)
class Measured:
    """Seconds of the run from its claim to its commit, and the process's memory in MiB."""

    seconds: float
    idle_mib: float
    peak_mib: float


def measure_import(settings: Settings, file: Path, *, empty: bool) -> Measured:
    """Import `file` in a child process; with `empty` all certifications are deleted before."""
    command = import_command(file, "empty" if empty else "once")
    done = subprocess.run(command, env=environment_of(settings), check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def import_command(file: Path, mode: str) -> list[str]:
    """Return the command of the child process; `mode` is that of `run_import`."""
    return [sys.executable, "-m", "benchmarks.import_child", str(file), mode]


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the child process's environment, which tells it the settings."""
    environment = os.environ | {"CERTSYNC_DATA_DIR": str(settings.data_dir), "CERTSYNC_PDF_ROWS": "1"}
    if settings.database_url is not None:
        environment["CERTSYNC_DATABASE_URL"] = settings.database_url.get_secret_value()
    return environment


def peak_mib() -> float:
    """Return the most memory this program ever had, in MiB.

    From Linux' own count of it (in KiB): that of getrusage begins with what the parent had.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


async def run_import(file: Path, mode: str) -> Measured:
    """Run one import with the settings of the environment, or one after the other until killed.

    The latter stands for a worker, which gives way to others.
    """
    factory = Factory(Settings())
    try:
        if mode == "again":
            os.nice(NICENESS)
        while mode == "again":
            await one_import(factory, file)
        if mode == "empty":
            await delete_records(factory)
        idle = peak_mib()
        ended = await one_import(factory, file)
        assert ended.actual_start is not None
        assert ended.ended_at is not None
        return Measured((ended.ended_at - ended.actual_start).total_seconds(), idle, peak_mib())
    finally:
        await factory.close()


async def delete_records(factory: Factory) -> None:
    """Delete all certifications, so that the next import is a first one."""
    async with factory.database.write() as session:
        connection = await session.connection()
        for table in (Endorsement, Certification, ImportFile):
            await connection.execute(sa.delete(table))


async def one_import(factory: Factory, file: Path) -> Run:
    """Import the file and return the ended run; ends the process when it failed."""
    run = await factory.runs.start_local(DEFAULT_DISTRICT, "benchmark", "benchmark", RunOptions())
    await factory.execution.execute(run.id, file)
    ended = await factory.runs.get(DEFAULT_DISTRICT, run.id)
    if ended.status != RunStatus.SUCCEEDED:
        raise SystemExit(f"the import failed: {ended.failure_code} {ended.failure_message}")
    return ended


if __name__ == "__main__":
    measured = asyncio.run(run_import(Path(sys.argv[1]), sys.argv[2]))
    print(json.dumps(vars(measured)))
