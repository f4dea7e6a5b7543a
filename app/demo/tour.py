"""The main job over HTTP, step by step: roster, connection, task, run, report."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.constants import FINAL_STATUSES, RunStatus, TaskStatus
from app.demo.client import PREFIX, Client
from app.demo.errors import DemoError
from app.demo.screen import Screen, figure
from app.demo.service import POLL, running_service
from app.demo.sftp_server import DemoSftpServer, demo_sftp_server
from app.demo.world import TIMEZONE, World, make_world, write_licence_file

USER, STATE, DIRECTORY, SERVICE_LOG = "district", "state", "outgoing", "certsync.log"
"""Who logs in to the state's server, its root and the directory in it, and what the service wrote."""
ITEMS_A_CALL = 10_000
"""As many as `POST /employees/bulk` takes (api.md)."""
RUN_LIMIT, PDF_LIMIT = 600.0, 90.0
"""Seconds for a run to end, and for its PDF to follow."""
FILES = ("report.pdf", "report.json", "skipped.csv", "rejected.csv")

KEPT = """
The service goes on until Ctrl-C. Its API is {api}, described in {address}/docs. Try:

export TOKEN={token}
curl -H "Authorization: Bearer $TOKEN" '{api}/runs'
curl -H "Authorization: Bearer $TOKEN" '{api}/runs/{run_id}/skipped.csv'
curl -H "Authorization: Bearer $TOKEN" '{api}/certifications?limit=5'
"""

EXPECTED = {
    "active": "employees_active",
    "matched": "employees_matched",
    "skipped": "employees_skipped",
    "missing_certification": "employees_missing_certification",
    "expired_certification": "employees_expired_certification",
    "without_issue_date": "certifications_missing_issue_date",
    "without_expiration_date": "certifications_missing_expiration_date",
    "disagreeing": "licenses_conflicting",
    "rows": "rows_read",
    "rejected": "rows_rejected",
}
"""A figure of the world -> its name in the run's summary."""


def prepare(directory: Path, employees: int, rows: int, screen: Screen) -> World:
    """Make the world and its licence file, below `directory`. Raises DemoError for impossible numbers."""
    with screen.step("World") as step:
        try:
            world = make_world(employees=employees, rows=rows)
        except ValueError as error:
            raise DemoError(str(error)) from error
        step.figures = f"{len(world.employees):,} employees in {len(world.job_classes)} job classes"
    with screen.step("Licence file") as step:
        outgoing = directory / STATE / DIRECTORY
        outgoing.mkdir(parents=True)
        file = write_licence_file(world, outgoing)
        step.figures = f"{file.name}: {world.rows:,} rows, {file.stat().st_size / 1e6:.1f} MB"
    return world


async def tour(world: World, directory: Path, screen: Screen, *, keep: bool) -> None:
    """Show an import from the state's server to the PDF; with `keep`, go on until cancelled.

    Everything that was started is stopped at the end. Raises DemoError at the first thing that is not as
    it should be, OSError when a server cannot be started.
    """
    password = secrets.token_urlsafe(12)
    async with AsyncExitStack() as stack:
        sftp = await stack.enter_async_context(demo_sftp_server(directory / STATE, USER, password))
        with screen.step("Service") as step:
            service = await stack.enter_async_context(
                running_service(directory / "service", directory / SERVICE_LOG)
            )
            token = await service.token()
            client = await stack.enter_async_context(Client(service.address, token))
            step.figures = f"{service.address}, API, worker, SQLite and Redis"
        await _load_roster(client, world, screen)
        await _connect(client, sftp, password, screen)
        run = await _import(client, world, screen)
        await _fetch_report(client, run["id"], directory, screen)
        screen.summary(run["summary"])
        _check(world, run["summary"])
        screen.text("The figures are those of the made-up world. The report:")
        screen.text(str(directory / "report.pdf"))
        if keep:
            api = service.address + PREFIX
            screen.text(KEPT.format(address=service.address, api=api, token=token, run_id=run["id"]))
            code = await service.child.wait()
            raise DemoError(f"`certsync up` ended with code {code}")


async def _load_roster(client: Client, world: World, screen: Screen) -> None:
    with screen.step("Roster") as step:
        for job_class in world.job_classes:
            await client.call("PUT", f"/job-classes/{job_class['code']}", job_class)
        people = world.employees
        for start in range(0, len(people), ITEMS_A_CALL):
            await client.call("POST", "/employees/bulk", {"items": people[start : start + ITEMS_A_CALL]})
        step.figures = f"{len(people):,} employees loaded over the API"


async def _connect(client: Client, sftp: DemoSftpServer, password: str, screen: Screen) -> None:
    """Save the connection to the state's server, with its fingerprint pinned, and test it."""
    connection = {
        "host": sftp.host,
        "port": sftp.port,
        "username": USER,
        "password": password,
        "fingerprint": sftp.fingerprint,
        "directory": f"/{DIRECTORY}",
    }
    with screen.step("State's server") as step:
        await client.call("PUT", "/sftp-connection", connection)
        test = await client.call("POST", "/sftp-connection/test")
        if not test["ok"]:
            raise DemoError(f"The connection to the state's server fails: {test['failure']}")
        step.figures = f"{sftp.host}:{sftp.port}, {sftp.fingerprint}"


async def _import(client: Client, world: World, screen: Screen) -> dict[str, Any]:
    """Schedule the import for school days, run it at once, and return the run when it has succeeded."""
    task = {
        "description": "Licences of our staff from the state",
        "status": TaskStatus.ACTIVE,
        "scheduled_start_date": str(world.today + timedelta(days=1)),
        "time": "05:30",
        "timezone": TIMEZONE,
        "recurrence": ["mon", "tue", "wed", "thu", "fri"],
    }
    with screen.step("Import") as step:
        task_id = (await client.call("POST", "/tasks", task))["id"]
        run: dict[str, Any] = await client.call("POST", f"/tasks/{task_id}/run")
        deadline = time.monotonic() + RUN_LIMIT
        while run["status"] not in FINAL_STATUSES:
            if time.monotonic() > deadline:
                raise DemoError(
                    f"The run did not end within {RUN_LIMIT:.0f} s: {run['status']}, {run['phase']}"
                )
            await asyncio.sleep(POLL)
            run = await client.call("GET", f"/runs/{run['id']}")
            step.show(run["phase"] or run["status"], run["progress"])
        if run["status"] != RunStatus.SUCCEEDED:
            raise DemoError(f"The run {run['status']}: {run['failure']}")
        imported = run["summary"]["certifications_imported"], run["summary"]["endorsements_imported"]
        step.figures = "{:,} certifications and {:,} endorsements".format(*imported)
    return run


async def _fetch_report(client: Client, run_id: str, directory: Path, screen: Screen) -> None:
    """Download the report's files; the PDF may come a little after the run ends."""
    with screen.step("Report") as step:
        deadline = time.monotonic() + PDF_LIMIT
        while not (await client.call("GET", f"/runs/{run_id}"))["links"]["report_pdf"]:
            if time.monotonic() > deadline:
                raise DemoError(f"There is no PDF {PDF_LIMIT:.0f} s after the run ended")
            await asyncio.sleep(POLL)
        for name in FILES:
            await client.download(f"/runs/{run_id}/{name}", directory / name)
        step.figures = ", ".join(FILES)


def _check(world: World, summary: dict[str, Any]) -> None:
    """Compare the summary with what the world knows of itself. Raises DemoError if a figure differs."""
    wrong = [
        f"{EXPECTED[name]} is {figure(summary, EXPECTED[name]):,}, expected {expected:,}"
        for name, expected in world.figures().items()
        if figure(summary, EXPECTED[name]) != expected
    ]
    if wrong:
        raise DemoError("The summary is not what the made-up world tells: " + "; ".join(wrong))
