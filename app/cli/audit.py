"""Commands on the audit trail."""

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import console
from app.cli.common import District, harmless_json, out, with_factory
from app.cli.connection_events import FORMATS
from app.constants import DEFAULT_DISTRICT
from app.reach import within_district

if TYPE_CHECKING:
    from app.factory import Factory
    from app.services.audit_verification import Verified
    from app.storage.audit_chain import Head

audit = typer.Typer(help="The audit trail: who did what to which record.", no_args_is_help=True)

NOTED = re.compile(r"(?P<sequence>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})")

Actor = Annotated[str | None, typer.Option(help="What this user id did.")]
Employee = Annotated[str | None, typer.Option(help="What was done to this employee's records.")]
Since = Annotated[datetime | None, typer.Option(formats=FORMATS, help="From then on (UTC).")]
Until = Annotated[datetime | None, typer.Option(formats=FORMATS, help="Up to then (UTC).")]


def _filters(
    actor: str | None, employee: str | None, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    given = {
        "actor": actor,
        "employee_number": employee,
        "at_from": since and since.replace(tzinfo=UTC),
        "at_to": until and until.replace(tzinfo=UTC),
    }
    return {name: value for name, value in given.items() if value is not None}


@audit.command("list")
def show(
    district: District = DEFAULT_DISTRICT,
    actor: Actor = None,
    employee: Employee = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="The newest so many.")] = 50,
) -> None:
    """Show events, the newest first."""
    from app.storage.pages import PageRequest

    filters = _filters(actor, employee, since, until)

    async def read(factory: "Factory") -> list[Any]:
        await factory.districts.get(district)
        return (await factory.audit.page(district, PageRequest(limit, filters=filters))).items

    out.print(console.audit_table(with_factory(read, district=district)))


@audit.command("export")
def export(
    district: Annotated[str | None, typer.Option(help="Of this district alone; otherwise of all.")] = None,
    actor: Actor = None,
    employee: Employee = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write events as JSON lines to standard output, the oldest of each district first."""
    from app.api.schemas.audit_events import AuditEventOut

    filters = _filters(actor, employee, since, until)

    async def write(factory: "Factory") -> None:
        for district_id in await _wanted(factory, district):
            with within_district(district_id):
                async for event in factory.audit.export(district_id, filters):
                    line = AuditEventOut.of(event).model_dump_json()
                    sys.stdout.write(harmless_json(f'{{"district":"{district_id}",{line[1:]}\n'))

    with_factory(write)


@audit.command("seal")
def seal() -> None:
    """Seal what is not sealed yet, as workers do twice a minute."""
    sealed = with_factory(lambda factory: factory.audit.seal(full=True))
    out.print(f"{sealed:,} events were sealed.", highlight=False)


@audit.command("verify")
def verify(
    district: Annotated[str | None, typer.Option(help="Of this district alone; otherwise all.")] = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="SEQUENCE:HASH", help="A head of the district's chain that was noted before."),
    ] = None,
) -> None:
    """Compare the trail with the chain that seals it; exit code 1 when anything differs."""
    noted = _read_head(head, district)

    async def check(factory: "Factory") -> "list[Verified]":
        results = []
        for district_id in await _wanted(factory, district):
            with within_district(district_id):
                results.append(await factory.audit_verification.verify(district_id, noted))
        return results

    results = with_factory(check)
    for result in results:
        out.print(console.verified_told(result), highlight=False, soft_wrap=True, markup=False)
    raise typer.Exit(0 if all(result.is_intact for result in results) else 1)


def _read_head(text: str | None, district: str | None) -> "Head | None":
    from app.storage.audit_chain import Head

    if text is None:
        return None
    if district is None:
        raise typer.BadParameter("is of one district: give --district", param_hint="--head")
    found = NOTED.fullmatch(text)
    if found is None:
        raise typer.BadParameter("give a number, a colon and 64 hexadecimal digits", param_hint="--head")
    return Head(int(found["sequence"]), found["hash"])


async def _wanted(factory: "Factory", district: str | None) -> list[str]:
    if district is not None:
        return [(await factory.districts.get(district)).id]
    return [each.id for each in await factory.districts.list()]
