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
from app.models import Certification, Endorsement, ImportFile
from app.services.runs import RunOptions
from app.settings import Settings


@dataclass(frozen=True)
class Measured:
    """Seconds of the run from its claim to its commit, and the process's memory in MiB."""

    seconds: float
    idle_mib: float
    peak_mib: float


def measure_import(settings: Settings, file: Path, *, empty: bool) -> Measured:
    """Import `file` in a child process; with `empty` all certifications are deleted before."""
    environment = os.environ | {"CERTSYNC_DATA_DIR": str(settings.data_dir), "CERTSYNC_PDF_ROWS": "1"}
    if settings.database_url is not None:
        environment["CERTSYNC_DATABASE_URL"] = settings.database_url.get_secret_value()
    command = [sys.executable, "-m", "benchmarks.import_child", str(file), str(int(empty))]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def peak_mib() -> float:
    """Return the most memory this program ever had, in MiB.

    From Linux' own count of it (in KiB): that of getrusage begins with what the parent had.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


async def run_import(file: Path, *, empty: bool) -> Measured:
    """Run one import with the settings of the environment."""
    factory = Factory(Settings())
    try:
        if empty:
            async with factory.database.write() as session:
                connection = await session.connection()
                for table in (Endorsement, Certification, ImportFile):
                    await connection.execute(sa.delete(table))
        idle = peak_mib()
        run = await factory.runs.start_local(DEFAULT_DISTRICT, "benchmark", "benchmark", RunOptions())
        await factory.execution.execute(run.id, file)
        ended = await factory.runs.get(DEFAULT_DISTRICT, run.id)
        if ended.status != RunStatus.SUCCEEDED or ended.actual_start is None or ended.ended_at is None:
            raise SystemExit(f"the import failed: {ended.failure_code} {ended.failure_message}")
        seconds = (ended.ended_at - ended.actual_start).total_seconds()
        return Measured(seconds, idle, peak_mib())
    finally:
        await factory.close()


if __name__ == "__main__":
    measured = asyncio.run(run_import(Path(sys.argv[1]), empty=sys.argv[2] == "1"))
    print(json.dumps(vars(measured)))
