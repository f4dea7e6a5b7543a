"""`certsync import FILE`: the whole pipeline in this process, on a file of this machine's disk."""

import asyncio
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.constants import FINAL_STATUSES
from app.factory import Factory
from app.garbage import collect_less
from app.models import Run
from app.pipeline.text_format import visible
from app.services.runs import RunOptions

POLL = 0.2  # seconds between two looks at the run's progress


async def import_local_file(
    factory: Factory, out: Console, file: Path, district: str, user: str, options: RunOptions
) -> tuple[Run, str | None]:
    """Import or preview `file`, showing progress; return the ended run and where its PDF lies.

    Raises RunInProgressError while another run of the district is unfinished, NotFoundError for an
    unknown district.
    """
    collect_less()
    description = f"{options.kind.capitalize()} of {visible(file.name)}"[:200]
    run = await factory.runs.start_local(district, description, user, options)
    work = asyncio.create_task(_work(factory, run.id, file))
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=out) as progress:
        bar = progress.add_task("waiting", total=100)
        try:
            while not work.done():
                await asyncio.wait([work], timeout=POLL)
                run = await factory.runs.get(district, run.id)
                progress.update(bar, completed=run.progress, description=run.phase or "waiting")
        finally:  # Ctrl-C ends the run as cancelled
            work.cancel()
            await asyncio.wait([work])
    await work
    run = await factory.runs.get(district, run.id)
    assert run.status in FINAL_STATUSES, "an execution that returns has ended its run"
    return run, factory.runs.pdf_address(run)


async def _work(factory: Factory, run_id: UUID, file: Path) -> None:
    await factory.execution.execute(run_id, file)
    await factory.reporting.report(run_id)
