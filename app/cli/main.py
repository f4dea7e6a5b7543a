"""The console script: everything an operator does, in one place.

Heavy parts are imported by the commands that need them, so that `--help` answers at once.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from app.cli import console
from app.constants import DEFAULT_DISTRICT, Role
from app.errors import AppError, ConfigurationError, RunFailure
from app.logs import configure_logging
from app.settings import PREFIX, Settings

if TYPE_CHECKING:
    from app.factory import Factory

Result = TypeVar("Result")

cli = typer.Typer(
    help="Keeps teacher licences in a school district's ERP true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
districts = typer.Typer(help="The districts that this deployment serves.", no_args_is_help=True)
employees = typer.Typer(help="The district's employees.", no_args_is_help=True)
job_classes = typer.Typer(help="The district's job classes.", no_args_is_help=True)
cli.add_typer(districts, name="districts")
cli.add_typer(employees, name="employees")
cli.add_typer(job_classes, name="job-classes")

out = Console()

BULK = 10_000
"""Employees written in one transaction."""

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")]
District = Annotated[str, typer.Option(help="Whose data it is about.")]
ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def load_settings() -> Settings:
    """Return the settings of the environment, with logging set up; says which variable is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        faults = (
            f"{PREFIX}{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationError("; ".join(faults)) from error
    configure_logging(settings)
    return settings


def with_factory(work: "Callable[[Factory], Awaitable[Result]]") -> Result:
    """Run `work` with the parts of this instance, on a schema that is up to date."""
    from app.factory import Factory
    from app.migrations import check_schema

    async def run() -> Result:
        factory = Factory(load_settings())
        try:
            await check_schema(factory.database)
            return await work(factory)
        finally:
            await factory.close()

    return asyncio.run(run())


@cli.command()
def up(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run everything on this machine: migrations, Redis, the API and a worker, until Ctrl-C."""
    from app.supervisor import run_up

    raise typer.Exit(run_up(load_settings(), host, port, prepare_database))


@cli.command()
def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run the API alone."""
    import uvicorn

    from app.main import create_app

    settings = load_settings()
    with_factory(_nothing)  # what is wrong with the set-up is said here, not in a traceback of the server
    uvicorn.run(create_app(settings), host=host, port=port, log_config=None, access_log=False)


@cli.command()
def worker() -> None:
    """Run a worker, which executes runs; several may run beside each other."""
    from workers.settings import run_worker

    with_factory(_nothing)
    asyncio.run(run_worker(load_settings()))


async def _nothing(_factory: "Factory") -> None:
    return None


def prepare_database(settings: Settings) -> None:
    """Bring the schema up to date; a development instance gets the newcomer's district."""
    from app import migrations
    from app.factory import Factory

    migrations.upgrade(settings)

    async def ensure_default() -> None:
        factory = Factory(settings)
        try:
            await factory.districts.ensure_default()
        finally:
            await factory.close()

    if settings.environment == "development":
        asyncio.run(ensure_default())


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date; does nothing when it is."""
    prepare_database(load_settings())
    out.print("The schema is up to date.")


@cli.command()
def token(
    user: Annotated[str, typer.Option(help="The user id that the token speaks for.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    district: District = DEFAULT_DISTRICT,
    ttl: Annotated[str, typer.Option(help="How long it is valid: 30m, 24h, 90d.")] = "24h",
) -> None:
    """Issue a token, signed with this instance's key; the last line is the token alone."""
    from app.services.tokens import issue_token

    lifetime = parse_ttl(ttl)

    async def issue(factory: "Factory") -> str:
        await factory.districts.get(district)
        try:
            return issue_token(factory.signing_key, user, role, district, lifetime)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--user") from error

    sys.stdout.write(with_factory(issue) + "\n")


def parse_ttl(text: str) -> timedelta:
    """Return the span of a text such as 30m, 24h or 90d."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1:] in units and len(text) <= len("36500d"):
        span = timedelta(**{units[text[-1]]: int(text[:-1])})
        if timedelta() < span <= timedelta(days=36500):
            return span
    raise typer.BadParameter("give a number and a unit, such as 30m, 24h or 90d", param_hint="--ttl")


@districts.command("add")
def add_district(
    district: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits and hyphens.")],
    name: Annotated[str | None, typer.Option(help="Its name, for reports.")] = None,
    state: Annotated[str, typer.Option(help="Whose licence file it imports.")] = "VT",
    timezone: Annotated[str | None, typer.Option(help="Such as America/New_York.")] = None,
) -> None:
    """Add a district."""
    added = with_factory(lambda factory: factory.districts.add(district, name, state, timezone))
    out.print(f"Added {added.id} ({added.name}, {added.state}, {added.timezone}).", highlight=False)


@districts.command("list")
def list_districts() -> None:
    """List the districts."""
    out.print(console.districts_table(with_factory(lambda factory: factory.districts.list())))


@employees.command("load")
def load_employees(file: ExistingFile, district: District = DEFAULT_DISTRICT) -> None:
    """Add or update employees from a CSV file whose header names the fields of the API."""
    from app.cli.roster_csv import read_employees

    items = read_employees(file)

    async def load(factory: "Factory") -> list[int]:
        await factory.districts.get(district)
        totals = [0, 0, 0]
        for start in range(0, len(items), BULK):
            batch = [item.model_dump() for item in items[start : start + BULK]]
            counts = await factory.employees.put_all(district, batch)
            totals = [a + b for a, b in zip(totals, vars(counts).values(), strict=True)]
        return totals

    created, updated, unchanged = with_factory(load)
    out.print(f"{created:,} created, {updated:,} updated, {unchanged:,} unchanged.", highlight=False)


@job_classes.command("load")
def load_job_classes(file: ExistingFile, district: District = DEFAULT_DISTRICT) -> None:
    """Add or update job classes from a CSV file: code, title, certification_required (true or false)."""
    from app.cli.roster_csv import read_job_classes

    items = read_job_classes(file)

    async def load(factory: "Factory") -> int:
        await factory.districts.get(district)
        for item in items:
            await factory.job_classes.put(district, item.code, item.title, item.certification_required, None)
        return len(items)

    out.print(f"{with_factory(load)} job classes loaded.")


@cli.command()
def inspect(
    file: ExistingFile,
    layout: Annotated[str, typer.Option(help="A layout's name, or the path of a TOML file.")] = "vt_alis",
) -> None:
    """Show how a licence file is read: layout, delimiter, encoding, columns, first rows, rejected rows."""
    from app.pipeline.inspection import inspect_file
    from app.pipeline.layout import load_layout, parse_layout

    path = Path(layout)
    chosen = (
        parse_layout(path.read_text(encoding="utf-8"), path.stem) if path.is_file() else load_layout(layout)
    )
    console.show_inspection(out, file, inspect_file(file, chosen))


@cli.command("import")
def import_file(
    file: ExistingFile,
    district: District = DEFAULT_DISTRICT,
    user: Annotated[str, typer.Option(help="Who runs it, for the report.")] = "cli",
    accept_shrink: Annotated[
        bool, typer.Option(help="Import although most employees would lose theirs.")
    ] = False,
) -> None:
    """Import a licence file from this machine's disk, without SFTP, and show the summary."""
    from app.cli.local_import import import_local_file

    run, pdf = with_factory(
        lambda factory: import_local_file(factory, out, file, district, user, accept_shrink=accept_shrink)
    )
    console.show_run(out, run, pdf)
    raise typer.Exit(0 if run.summary is not None else 1)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from app.main import create_app

    document = create_app(Settings()).openapi()
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def main() -> None:
    """Run the command line; an expected failure is one line on standard error and exit code 1."""
    from app.pipeline.layout import LayoutError

    try:
        cli()
    except (ConfigurationError, LayoutError) as error:
        fail(str(error))
    except RunFailure as failure:
        fail(failure.message)
    except AppError as error:
        fail("\n".join([error.detail, *(f"  {_place(fault.loc)}: {fault.msg}" for fault in error.errors)]))


def _place(loc: tuple[str | int, ...]) -> str:
    return " ".join(str(part) for part in loc)


def fail(message: str) -> None:
    """End with a message and exit code 1."""
    sys.stderr.write(f"certsync: {message}\n")
    sys.exit(1)
