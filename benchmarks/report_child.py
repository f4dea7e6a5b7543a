"""The processes of the part `report`: a worker that makes one PDF, and WeasyPrint by itself, kept warm."""

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from app.factory import Factory
from app.models import Run
from app.settings import Settings
from tests.support.processes import children_of, command_of

RENDERER = b"app.pipeline.render_pdf"
POLL = 0.005
"""Seconds between two looks at the renderer's memory."""
WARM_UP = "<html lang=en><title>x</title><p>x"


@dataclass(frozen=True)
class Measured:
    """What one PDF took: seconds, the renderer's processor seconds, and the most memory of each in MB."""

    seconds: float
    renderer_cpu: float
    worker_mb: float
    renderer_mb: float


def measure_pdf(settings: Settings, run_id: UUID) -> Measured:
    """Make the PDF of a run in a process of its own, and watch the memory of the renderer that it starts."""
    environment = os.environ | {"CERTSYNC_DATA_DIR": str(settings.data_dir)}
    command = [sys.executable, "-m", "benchmarks.report_child", str(run_id)]
    renderer = 0.0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
        while worker.poll() is None:
            renderer = max(renderer, _renderer_mb(worker.pid))
            time.sleep(POLL)
        answer = worker.communicate()[0]
    if worker.returncode:
        raise SystemExit("the PDF was not made")
    return Measured(**json.loads(answer.splitlines()[-1]), renderer_mb=renderer)


@contextmanager
def warm_weasyprint() -> Iterator[Callable[[Path], float]]:
    """Yield what renders an HTML file in a process that has WeasyPrint loaded, and returns the seconds."""
    command = [sys.executable, "-m", "benchmarks.report_child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def render(html: Path) -> float:
            requests.write(f"{html}\n")
            requests.flush()
            return float(answers.readline())

        yield render


def _renderer_mb(worker: int) -> float:
    """Return the most memory that the worker's renderer has had so far; 0 while there is none."""
    with suppress(FileNotFoundError, ProcessLookupError, IndexError):  # one of them ends at this moment
        for child in children_of(worker):
            if RENDERER in command_of(child):
                return _peak_mb(str(child))
    return 0.0


def _peak_mb(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 10**6


async def _make_pdf(run_id: UUID) -> dict[str, float]:
    """Make the PDF as the job of a worker does, even if there is one."""
    factory = Factory(Settings())
    try:
        async with factory.database.write() as session:
            forgotten = sa.update(Run).values(report_pdf=None, report_tries=0, report_tried_at=None)
            await (await session.connection()).execute(forgotten)
        began = time.perf_counter()
        await factory.reporting.report(run_id)
        seconds = time.perf_counter() - began
        async with factory.database.read() as session:
            made = await session.get(Run, run_id)
        if made is None or made.report_pdf is None:
            raise SystemExit("there is no PDF")
    finally:
        await factory.close()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "renderer_cpu": used.ru_utime + used.ru_stime,
        "worker_mb": _peak_mb("self"),
    }


def _render_all() -> None:
    """Render the files that stdin names, and answer each with the seconds it took."""
    import weasyprint

    gc.disable()  # as the renderer has it
    weasyprint.HTML(string=WARM_UP).write_pdf()
    for line in sys.stdin:
        began = time.perf_counter()
        weasyprint.HTML(line.strip()).write_pdf(pdf_variant="pdf/ua-1")
        print(time.perf_counter() - began, flush=True)
        gc.collect()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(_make_pdf(UUID(sys.argv[1])))))
    else:
        _render_all()
