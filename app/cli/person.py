"""Commands on what is stored of one person: `certsync person …`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from app.cli import console
from app.cli.common import District, harmless_json, out, with_factory
from app.constants import DEFAULT_DISTRICT
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.factory import Factory
    from app.services.personal_data import Found

cli = typer.Typer(help="What is stored of one person.", no_args_is_help=True)
Employee = Annotated[
    str | None, typer.Option(help="Number of an employee, also of one who is not stored any more.")
]
EducatorId = Annotated[
    str | None, typer.Option(help="Of somebody who is in the state's files, employee or not.")
]
OutputFile = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Where it goes; it must not exist. Else standard output.")
]


@cli.command("export")
def export(
    district: District = DEFAULT_DISTRICT,
    employee: Employee = None,
    educator_id: EducatorId = None,
    output: OutputFile = None,
) -> None:
    """Write everything that is stored of one person as one JSON document."""
    _check_whom(employee, educator_id)

    async def make(factory: "Factory") -> bytes:
        found = await factory.personal_data.find(district, employee, educator_id)
        document = json.dumps(await factory.personal_data.export(found), ensure_ascii=False, indent=2)
        return harmless_json(document).encode() + b"\n"

    if output is None:
        sys.stdout.buffer.write(with_factory(make, district=district))
        return
    with _new_file(output) as file:  # first, since the trail tells that an export was taken
        file.write(with_factory(make, district=district))
    out.print(f"{output}: {output.stat().st_size:,} bytes.", highlight=False, soft_wrap=True)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Make a file, which goes again when it cannot be filled."""
    try:
        file = path.open("xb")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}. Nothing was exported; give another --output."
        ) from error
    try:
        with file:
            yield file
    except BaseException:
        path.unlink()
        raise


@cli.command("erase")
def erase(
    district: District = DEFAULT_DISTRICT,
    employee: Employee = None,
    educator_id: EducatorId = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase; without this, only tell what would go.")] = False,
    even_if_active: Annotated[
        bool, typer.Option("--even-if-active", help="Also an employee who is active.")
    ] = False,
    delete_files: Annotated[
        bool | None,
        typer.Option(
            "--delete-files/--keep-files", help="What becomes of kept licence files that name the person."
        ),
    ] = None,
) -> None:
    """Erase one person. What is not theirs alone loses their name; kept licence files go whole, or stay."""
    from app.services.person_erasure import Wish

    _check_whom(employee, educator_id)
    wish = Wish(even_if_active=even_if_active, delete_files=delete_files)

    async def work(factory: "Factory") -> "Found":
        found = await factory.personal_data.find(district, employee, educator_id)
        return await factory.person_erasure.erase(found, wish) if yes else found

    found = with_factory(work, district=district)
    out.print(console.person_told(found, wish, erased=yes), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if yes else 1)


def _check_whom(employee: str | None, educator_id: str | None) -> None:
    if (employee is None) == (educator_id is None):
        raise typer.BadParameter("give either --employee or --educator-id")
    if not (employee or educator_id or "").strip(" 0"):
        raise typer.BadParameter("give a number or an id that is not blank")
