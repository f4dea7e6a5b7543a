"""How long the PDF of a run takes, and how much memory, for any number of skipped employees.

SQLite. An import skips everybody in the roster and stores that; a process that stands for a worker then makes
the PDF of the run as a worker does, from what was stored, with the rows that are printed by default.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import UUID

from app.constants import EmployeeStatus
from app.demo.licences import pick
from app.demo.people import stranger
from app.demo.vermont import LAST_NAMES, TEACHING_JOBS
from app.demo.world import FEWEST_EMPLOYEES, ROWS_PER_EMPLOYEE, World, make_world, write_licence_file
from app.factory import Factory
from app.models import District
from app.pipeline.report import report_data
from app.pipeline.report_html import report_html
from app.settings import Settings
from benchmarks.import_child import one_import
from benchmarks.prepare import prepare, settings_of
from benchmarks.report_child import Measured, measure_pdf, warm_weasyprint
from benchmarks.results import Results

SKIPPED = (100, 1_000, 10_000, 100_000)
"""Employees; the last stands for any number."""
SECONDS, MEGABYTES = 10, 250
"""What a PDF may take."""


def run(options: argparse.Namespace, results: Results) -> None:
    sizes = options.skipped or SKIPPED
    pdfs: dict[int, list[Measured]] = {skipped: [] for skipped in sizes}
    floors: dict[int, list[float]] = {skipped: [] for skipped in sizes}
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name, warm_weasyprint() as render:
        runs = {skipped: prepared_run(skipped, Path(name)) for skipped in sizes}
        for repeat in range(options.repeats):
            for skipped, (settings, run_id, html) in runs.items():
                pdfs[skipped].append(measure_pdf(settings, run_id))
                floors[skipped].append(render(html))
            print(f"  {repeat + 1}/{options.repeats}", file=sys.stderr)
    results.notes.append(f"{settings.pdf_rows} rows are printed, as many as the settings' default.")
    results.notes.append("The renderer runs at niceness 10: it gives way to whatever else the machine does.")
    for skipped in sizes:
        case = f"SQLite, {skipped:,} skipped employees"
        took = results.add(case, "certsync", "s", [pdf.seconds for pdf in pdfs[skipped]])
        results.add(case, "WeasyPrint alone, loaded before (floor)", "s", floors[skipped])
        cpu = [pdf.renderer_cpu for pdf in pdfs[skipped]]
        results.add(case, "processor time of the renderer", "s", cpu)
        peaks = [pdf.renderer_mb for pdf in pdfs[skipped]]
        results.add(case, "peak memory of the renderer", "MB", peaks)
        results.add(case, "peak memory of the worker", "MB", [pdf.worker_mb for pdf in pdfs[skipped]])
        results.at_most(case, "PDF", took.median, SECONDS, " s")
        results.at_most(case, "peak memory of the renderer", max(peaks), MEGABYTES, " MB")


def prepared_run(skipped: int, directory: Path) -> tuple[Settings, UUID, Path]:
    """Import a file that skips so many employees; return settings, run, and the HTML of its report."""
    print(f"  an import that skips {skipped:,} employees", file=sys.stderr)
    with settings_of("sqlite", directory / str(skipped)) as settings:
        world = world_of_skipped(skipped)
        file = write_licence_file(world, settings.data_dir)
        asyncio.run(prepare(settings, world))
        run_id, html = asyncio.run(_import(settings, file, skipped))
        path = settings.data_dir / "report.html"
        path.write_text(html, encoding="utf-8")
        return settings, run_id, path


def world_of_skipped(employees: int) -> World:
    """Make a world in which the state knows every employee by the last name before a marriage."""
    rng = Random(2026)
    people = [stranger(rng, (), serial)._replace(ours=True) for serial in range(employees)]
    roster = [
        {
            "employee_number": str(100_001 + index),
            "state_staff_id": person.educator_id,
            "last_name": f"{person.last_name}-{pick(rng, LAST_NAMES)}",
            "first_name": person.first_name,
            "status": EmployeeStatus.ACTIVE.value,
            "job_class": pick(rng, TEACHING_JOBS).code,
        }
        for index, person in enumerate(people)
    ]
    few = make_world(employees=FEWEST_EMPLOYEES, rows=ROWS_PER_EMPLOYEE * FEWEST_EMPLOYEES)
    rows = ROWS_PER_EMPLOYEE * (employees + FEWEST_EMPLOYEES)
    return replace(few, rows=rows, employees=roster, cast=people, names=frozenset())


async def _import(settings: Settings, file: Path, skipped: int) -> tuple[UUID, str]:
    factory = Factory(settings)
    try:
        ended = await one_import(factory, file)
        found = ended.summary["employees_skipped"] if ended.summary else 0
        if found != skipped:
            raise SystemExit(f"the import skipped {found} employees, not {skipped}")
        async with factory.database.read() as session:
            district = await session.get(District, ended.district_id)
            assert district is not None
            report = await report_data(await session.connection(), ended, district, settings.pdf_rows)
        return ended.id, report_html(report, settings.pdf_rows)
    finally:
        await factory.close()
