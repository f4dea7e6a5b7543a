"""Commands on the security events of the connection."""

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import with_factory
from app.reach import within_district
from app.syslog import line

if TYPE_CHECKING:
    from app.factory import Factory

connection_events = typer.Typer(help="Attempts to use the states' servers.", no_args_is_help=True)

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


class Format(StrEnum):
    """How events are written."""

    JSONL = "jsonl"
    SYSLOG = "syslog"


@connection_events.command("export")
def export(
    district: Annotated[str | None, typer.Option(help="Of this district alone; otherwise of all.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=FORMATS, help="From then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=FORMATS, help="Up to then (UTC).")] = None,
    form: Annotated[Format, typer.Option("--format", help="JSON lines, or RFC 5424.")] = Format.JSONL,
) -> None:
    """Write events to standard output, one a line, the oldest of each district first."""
    filters = {
        name: instant.replace(tzinfo=UTC)
        for name, instant in (("at_from", since), ("at_to", until))
        if instant is not None
    }

    async def write(factory: "Factory") -> None:
        if district is not None:
            wanted = [(await factory.districts.get(district)).id]
        else:
            wanted = [each.id for each in await factory.districts.list()]
        for district_id in wanted:
            with within_district(district_id):
                async for event in factory.connection_events.export(district_id, filters):
                    record = event.record()
                    sys.stdout.write((line(record) if form is Format.SYSLOG else json.dumps(record)) + "\n")

    with_factory(write)
