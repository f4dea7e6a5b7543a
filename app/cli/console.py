"""What the commands print, as tables a person can read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from app.models import District, Run
from app.pipeline.inspection import Inspection
from app.pipeline.report import notice
from app.storage.table_copy import Content

DELIMITERS = {",": "comma", "\t": "tab", "|": "pipe", ";": "semicolon"}


def districts_table(districts: Sequence[District]) -> Table:
    """Return the districts as a table."""
    table = Table("Id", "Name", "State", "Time zone", "Paused since")
    for district in districts:
        paused = f"{district.paused_since:%Y-%m-%d}" if district.paused_since else ""
        table.add_row(district.id, escape(district.name), district.state, district.timezone, paused)
    return table


def contents_table(contents: Mapping[str, Content]) -> Table:
    """Return what tables of a database hold as a table."""
    table = Table("Table", Column("Rows", justify="right"), "Checksum, the same on both sides")
    for name, held in contents.items():
        table.add_row(name, f"{held.rows:,}", f"{held.checksum:032x}")
    return table


def show_inspection(out: Console, path: Path, found: Inspection) -> None:
    """Print how a licence file is read."""
    counts = found.counts
    facts = Table(show_header=False, box=None)
    recognised = (
        f"yes, {found.datestamp:%Y-%m-%d %H:%M}" if found.datestamp else "no: SFTP would pass it over"
    )
    for name, value in (
        ("File", str(path)),
        ("Layout", found.layout),
        ("Name recognised", recognised),
        ("Encoding", found.encoding),
        ("Delimiter", DELIMITERS.get(found.delimiter, repr(found.delimiter))),
        ("Rows", f"{counts.read:,}"),
        ("  to import", f"{counts.importable:,}"),
        *((f"  status {status}", f"{count:,}") for status, count in sorted(counts.other_status.items())),
        ("  rejected", f"{counts.rejected:,}"),
        ("Columns not used", ", ".join(found.unmapped) or "none"),
    ):
        facts.add_row(name, escape(value))
    out.print(facts)
    mapping = Table("Field", "Column", title="Columns")
    for field, column in found.mapping.items():
        mapping.add_row(field, escape(column))
    out.print(mapping)
    rows = Table(
        "Line",
        "Educator ID",
        "Last name",
        "First name",
        "Licence",
        "Status",
        "Endorsement",
        title="First rows",
    )
    for row in found.first_rows:
        cells = (
            row.educator_id,
            row.last_name,
            row.first_name,
            row.license_number,
            row.status,
            row.endorsement_code,
        )
        rows.add_row(str(row.line), *(escape(cell or "") for cell in cells))
    out.print(rows)
    if found.rejections:
        rejected = Table("Line", "Column", "Value", "Reason", title="Rejected rows")
        for rejection in found.rejections:
            rejected.add_row(
                str(rejection.line),
                *(escape(cell) for cell in (rejection.column, rejection.value, rejection.reason)),
            )
        out.print(rejected)


def show_run(out: Console, run: Run, pdf: str | None) -> None:
    """Print how a run ended, its figures, and where its PDF lies, alone on a line."""
    if run.summary is None:
        reason = escape(run.failure_message or "")
        out.print(f"[bold red]The {run.kind} failed[/] ({run.failure_code}). {reason}")
    else:
        title = run.kind.capitalize()
        table = Table("Figure", Column("Number", justify="right"), title=title, show_header=False)
        for name, figure in run.summary.items():
            if isinstance(figure, int):
                table.add_row(name.replace("_", " "), f"{figure:,}")
        out.print(table)
        if told := notice(run):
            out.print(told)
    if pdf is not None:
        out.print(pdf, soft_wrap=True, highlight=False, markup=False)
