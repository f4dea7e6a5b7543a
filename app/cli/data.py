"""Commands on a district's data: districts, rosters, and licence files of this machine's disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import console
from app.cli.common import District, ExistingFile, out, read_layout_text, with_factory
from app.constants import DEFAULT_DISTRICT, RunKind

if TYPE_CHECKING:
    from app.factory import Factory
    from app.services.employees import Counts

districts = typer.Typer(help="The districts that this deployment serves.", no_args_is_help=True)
employees = typer.Typer(help="The district's employees.", no_args_is_help=True)
job_classes = typer.Typer(help="The district's job classes.", no_args_is_help=True)


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


@districts.command("layout")
def set_layout(
    district: Annotated[str, typer.Argument(help="The district's id.")],
    file: Annotated[Path | None, typer.Argument(help="A layout as TOML; without it, the state's.")] = None,
) -> None:
    """Read the district's licence files by a layout of its own, or again by the one of its state."""
    toml = read_layout_text(file) if file else None
    with_factory(lambda factory: factory.districts.set_layout(district, toml))
    out.print(f"{district} now has {'a layout of its own' if toml else 'the layout of its state'}.")


@districts.command("list")
def list_districts() -> None:
    """List the districts."""
    out.print(console.districts_table(with_factory(lambda factory: factory.districts.list())), crop=False)


@districts.command("pause")
def pause_district(district: Annotated[str, typer.Argument(help="The district's id.")]) -> None:
    """Let the district's schedule rest, for example over the summer; people may still start runs."""
    with_factory(lambda factory: factory.districts.pause(district))
    out.print(f"{district} is paused: its tasks begin again after certsync districts resume {district}.")


@districts.command("resume")
def resume_district(district: Annotated[str, typer.Argument(help="The district's id.")]) -> None:
    """Let the district's schedule go on; what was due meanwhile is not made up for."""
    with_factory(lambda factory: factory.districts.resume(district))
    out.print(f"{district} is not paused any more.")


@employees.command("load")
def load_employees(file: ExistingFile, district: District = DEFAULT_DISTRICT) -> None:
    """Add or update employees from a CSV file whose header names the fields of the API."""
    from app.cli.roster_csv import read_employees

    items = read_employees(file)

    async def load(factory: "Factory") -> "Counts":
        await factory.districts.get(district)
        return await factory.employees.put_all(district, [item.model_dump() for item in items])

    counts = with_factory(load, district=district)
    told = f"{counts.created:,} created, {counts.updated:,} updated, {counts.unchanged:,} unchanged."
    out.print(told, highlight=False)


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

    out.print(f"{with_factory(load, district=district)} job classes loaded.")


def inspect(
    file: ExistingFile,
    layout: Annotated[str, typer.Option(help="A layout's name, or the path of a TOML file.")] = "vt_alis",
) -> None:
    """Show how a licence file is read: layout, delimiter, encoding, columns, first rows, rejected rows."""
    from app.pipeline.inspection import inspect_file
    from app.pipeline.layout import load_layout, parse_layout

    path = Path(layout)
    chosen = parse_layout(read_layout_text(path), path.stem) if path.is_file() else load_layout(layout)
    console.show_inspection(out, file, inspect_file(file, chosen))


def import_file(
    file: ExistingFile,
    district: District = DEFAULT_DISTRICT,
    user: Annotated[str, typer.Option(help="Who runs it, for the report.")] = "cli",
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what an import would change, and change nothing.")
    ] = False,
    accept_shrink: Annotated[
        bool, typer.Option(help="Import although most employees would lose theirs.")
    ] = False,
) -> None:
    """Import a licence file from this machine's disk, without SFTP, and show the summary."""
    from app.cli.local_import import import_local_file
    from app.services.runs import RunOptions

    options = RunOptions(RunKind.PREVIEW if preview else RunKind.IMPORT, accept_shrink)
    run, pdf = with_factory(
        lambda factory: import_local_file(factory, out, file, district, user, options), district=district
    )
    console.show_run(out, run, pdf)
    raise typer.Exit(0 if run.summary is not None else 1)
