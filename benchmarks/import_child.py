"""Imports in a process of their own, so that its memory is its own."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from unittest.mock import patch

import sqlalchemy as sa
from sqlmodel import select

from app.constants import DEFAULT_DISTRICT, RunPhase, RunStatus
from app.factory import Factory
from app.garbage import collect_less
from app.models import Certification, Endorsement, ImportFile, Run, Task
from app.services.runs import RunOptions
from app.settings import Settings
from benchmarks.delete_and_insert import delete_and_insert
from workers.settings import NICENESS

LOCK = "lock"
RECORDS = ("certifications", "endorsements")


@dataclass(frozen=True)
class Measured:
    """Seconds of a run from its claim to its commit, of its phases and of its lock; the process's memory.

    `records` and `written` are numbers of certifications and endorsements: held afterwards, and changed.
    """

    seconds: float
    lock_seconds: float
    idle_mib: float
    peak_mib: float
    records: int
    written: int
    phases: dict[str, float] = field(default_factory=dict)


def measure_import(settings: Settings, file: Path, *, empty: bool = False) -> Measured:
    """Import `file` in a child process; with `empty` all certifications are deleted before."""
    command = import_command(file, *(["--empty"] if empty else []))
    done = subprocess.run(command, env=environment(settings), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"an import failed:\n{done.stdout}\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


class ImportWorker:
    """A process that imports as often as it is told, a file or what the server has; a context manager.

    It stays as warm as a worker that has imported before. With `plain` it deletes all records and inserts
    them anew, instead of what differs.
    """

    def __init__(self, settings: Settings, *, plain: bool = False) -> None:
        command = import_command(None, "--serve", *(["--plain"] if plain else []))
        self._process = subprocess.Popen(
            command, env=environment(settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its input ends it

    def measure(self, file: Path | None = None) -> Measured:
        """Import once: this file, or that of the state's server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file or "", file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):
                return Measured(**json.loads(line))
        raise SystemExit("an import failed")


def import_command(file: Path | None, *flags: str) -> list[str]:
    """Return the command of the child process."""
    return [sys.executable, "-m", "benchmarks.import_child", *([f"--file={file}"] if file else []), *flags]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a process with the same settings; one row is enough for a PDF."""
    variables = {"CERTSYNC_DATA_DIR": str(settings.data_dir), "CERTSYNC_PDF_ROWS": "1"}
    for name in ("database_url", "redis_url"):
        if (secret := getattr(settings, name)) is not None:
            variables[f"CERTSYNC_{name.upper()}"] = secret.get_secret_value()
    return os.environ | variables


def peak_mib() -> float:
    """Return the most memory this program had since it began or `forget_peak`, in MiB.

    From Linux' own count of it (in KiB): that of getrusage begins with what the parent had.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """Let `peak_mib` begin anew (https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def measure(factory: Factory, file: Path | None, idle: float) -> Measured:
    """Import once, and say what it took; `idle` is the memory before any import."""
    forget_peak()
    before = _counted(factory)
    ended = await one_import(factory, file)
    assert ended.actual_start is not None
    assert ended.ended_at is not None
    assert ended.summary is not None
    taken = {name: seconds - before[name] for name, seconds in _counted(factory).items()}
    return Measured(
        seconds=(ended.ended_at - ended.actual_start).total_seconds(),
        lock_seconds=taken.pop(LOCK),
        idle_mib=idle,
        peak_mib=peak_mib(),
        records=sum(ended.summary[f"{name}_imported"] for name in RECORDS),
        written=sum(
            ended.summary[f"{name}_{kind}"] for name in RECORDS for kind in ("added", "changed", "removed")
        ),
        phases=taken,
    )


def _counted(factory: Factory) -> dict[str, float]:
    """Return the seconds that the worker's own metrics have counted so far."""
    sample = factory.run_metrics.registry.get_sample_value
    phases = (RunPhase.FETCH, RunPhase.PARSE, RunPhase.MATCH, RunPhase.REPLACE)
    counted = {
        phase.value: sample("certsync_run_phase_duration_seconds_sum", {"phase": phase.value})
        for phase in phases
    }
    counted[LOCK] = sample("certsync_lock_window_seconds_sum")
    return {name: seconds or 0.0 for name, seconds in counted.items()}


async def one_import(factory: Factory, file: Path | None) -> Run:
    """Import the file, or the server's, and return the ended run; ends the process when it failed."""
    options = RunOptions(accept_shrink=True)
    if file is not None:
        run = await factory.runs.start_local(DEFAULT_DISTRICT, "benchmark", "benchmark", options)
    else:
        async with factory.database.read() as session:
            task = (await session.exec(select(Task.id))).one()
        run = await factory.runs.start(DEFAULT_DISTRICT, task, "benchmark", options)
    await factory.execution.execute(run.id, file)
    ended = await factory.runs.get(DEFAULT_DISTRICT, run.id)
    if ended.status != RunStatus.SUCCEEDED:
        raise SystemExit(f"the import failed: {ended.failure_code} {ended.failure_message}")
    return ended


async def delete_records(factory: Factory) -> None:
    """Delete all records, and what was kept of imported files."""
    async with factory.database.write() as session:
        connection = await session.connection()
        for table in (Endorsement, Certification, ImportFile):
            await connection.execute(sa.delete(table))


async def main(options: argparse.Namespace) -> None:
    """Import with the settings of the environment; with `--again` one after the other until killed.

    The latter stands for a worker, which gives way to others.
    """
    factory = Factory(Settings())
    try:
        if options.again:
            os.nice(NICENESS)
            while True:
                await one_import(factory, options.file)
        if options.empty:
            await delete_records(factory)
        with ExitStack() as stack:
            if options.plain:
                stack.enter_context(patch("app.pipeline.run.replacement", delete_and_insert))
                stack.enter_context(patch.dict("app.database.GUARD_LIMITS", statement_timeout="1h"))
            collect_less()  # as every worker does
            idle = peak_mib()
            if not options.serve:
                print(json.dumps(vars(await measure(factory, options.file, idle))), flush=True)
                return
            while told := await asyncio.to_thread(sys.stdin.readline):
                file = Path(told.strip()) if told.strip() else None
                print(json.dumps(vars(await measure(factory, file, idle))), flush=True)
    finally:
        await factory.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path)
    for flag in ("--empty", "--plain", "--again", "--serve"):
        parser.add_argument(flag, action="store_true")
    asyncio.run(main(parser.parse_args()))
