"""What the commands print, as tables a person can read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from sqlalchemy import Row

from app.crypto import KEY_ID_LENGTH
from app.models import District, Run, ServiceToken
from app.pipeline.inspection import Inspection
from app.pipeline.report import notice
from app.services.audit_verification import Verified
from app.services.encryption_keys import KeyRole, KeyUse, Loss, Rotation
from app.storage.table_copy import Content
from app.storage.token_reads import Counts

if TYPE_CHECKING:
    from app.services.person_erasure import Wish
    from app.services.personal_data import Found

REFUSED_SHOWN = 5
UUID_LENGTH = 36
DELIMITERS = {",": "comma", "\t": "tab", "|": "pipe", ";": "semicolon"}


def _typed(header: str, width: int) -> Column:
    """Return a column of what people type into another command: whole, however narrow the terminal is."""
    return Column(header, no_wrap=True, min_width=width)


def _folded(*headers: str) -> list[Column]:
    """Return columns that go on in the next line where there is no room, and lose nothing."""
    return [Column(header, overflow="fold") for header in headers]


def districts_table(districts: Sequence[District]) -> Table:
    """Return the districts as a table."""
    longest = max((len(district.id) for district in districts), default=0)
    table = Table(_typed("Id", longest), *_folded("Name", "State", "Time zone", "Paused since"))
    for district in districts:
        paused = f"{district.paused_since:%Y-%m-%d}" if district.paused_since else ""
        table.add_row(district.id, escape(district.name), district.state, district.timezone, paused)
    return table


def service_tokens_table(tokens: Sequence[ServiceToken], reads: Mapping[UUID, Mapping[str, Counts]]) -> Table:
    """Return service tokens as a table, with what each read in the last 30 days."""
    table = Table(_typed("Id", UUID_LENGTH), *_folded("Service token"), show_lines=True)
    for token in tokens:
        told = [
            token.name,
            " ".join(token.scopes),
            f"created {token.created_at:%Y-%m-%d} by {token.created_by}",
            f"expires {token.expires_at:%Y-%m-%d %H:%M}",
        ]
        if token.revoked_at:
            told.append(f"revoked {token.revoked_at:%Y-%m-%d} by {token.revoked_by}")
        if token.last_used_at:
            told.append(f"last used {token.last_used_at:%Y-%m-%d %H:%M}")
        told += [
            f"read {kind}: {counts.records:,} in {counts.requests:,} requests of 30 days"
            for kind, counts in reads.get(token.id, {}).items()
        ]
        table.add_row(str(token.id), escape("\n".join(told)))
    return table


def contents_table(contents: Mapping[str, Content]) -> Table:
    """Return what tables of a database hold as a table."""
    table = Table("Table", Column("Rows", justify="right"), "Checksum, the same on both sides")
    for name, held in contents.items():
        table.add_row(name, f"{held.rows:,}", f"{held.checksum:032x}")
    return table


def keys_table(uses: Sequence[KeyUse]) -> Table:
    """Return the keys as a table."""
    columns = _typed("Key id", KEY_ID_LENGTH), *_folded("CERTSYNC_ENCRYPTION_KEYS")
    table = Table(*columns, Column("Stored values", justify="right", overflow="fold"))
    for use in uses:
        table.add_row(use.key_id, use.role.value, f"{use.values:,}")
    return table


def rotation_told(rotation: Rotation) -> str:
    """Return what a rotation did, and what is left to do."""
    primary, *others = rotation.uses
    told = [
        f"{rotation.renewed:,} values were encrypted anew. {primary.values:,} are under {primary.key_id} now."
    ]
    unused = ", ".join(use.key_id for use in others if use.role is KeyRole.OTHER and not use.values)
    if unused:
        told.append(
            f"Not used any more: {unused}. Take it out of CERTSYNC_ENCRYPTION_KEYS once every process has "
            f"{primary.key_id} first, and keep it with the backups of before: they need it."
        )
    for use in others:
        if use.role is KeyRole.OTHER and use.values:
            told.append(
                f"{use.values:,} values are under {use.key_id} still. Unless they are named below, a process "
                f"that has not {primary.key_id} first saved them: restart it, and type this again."
            )
        if use.role is KeyRole.MISSING:
            told.append(
                f"{use.values:,} values are under {use.key_id}, which is not in the list: add that key. If "
                f"it is lost for good: certsync keys discard {use.key_id}"
            )
    if rotation.refused:
        told.append(
            f"{len(rotation.refused):,} values do not decrypt: they were altered, or moved from elsewhere. "
            "Find out how, or restore a backup; certsync keys discard KEY_ID removes them. The first: "
            + ", ".join(rotation.refused[:REFUSED_SHOWN])
        )
    return "\n".join(told)


def loss_told(loss: Loss, key_id: str, *, confirmed: bool) -> str:
    """Return what a lost key takes with it."""
    if not (loss.districts or loss.texts):
        return f"Everything under {key_id} decrypts. Nothing was removed."
    what = f"under {key_id}, which nobody can read any more"
    told = [
        f"{'Removed' if confirmed else 'To be removed'}, {what}:",
        f"  connections of {len(loss.districts):,} districts: {', '.join(loss.districts) or 'none'}",
        f"  texts of connection events and error logs: {loss.texts:,}",
        "Those districts save their connections again; until then their imports fail as sftp_not_configured."
        if confirmed
        else f"Nothing was removed yet. If the key is lost for good: certsync keys discard {key_id} --yes",
    ]
    return "\n".join(told)


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


def audit_table(events: Sequence[Row[Any]]) -> Table:
    """Return audit events as a table."""
    table = Table(*_folded("At (UTC)", "Who", "Over", "From", "What", "Record", "Link"))
    for event in events:
        record = event.record_id or ("redacted" if event.content is None else "")
        table.add_row(
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            escape(event.actor),
            event.interface,
            escape(event.address or ""),
            event.action,
            escape(f"{event.record_type} {record}".rstrip()),
            "" if event.sequence is None else str(event.sequence),
        )
    return table


def verified_told(result: Verified) -> str:
    """Return what a verification found."""
    told = [
        (
            f"{result.district_id}: {'intact' if result.is_intact else 'NOT INTACT'}, {result.links:,} links "
            f"after {result.start.sequence:,}, head {result.head.sequence}:{result.head.hash}"
        ),
        *(f"  link {each.sequence} {each.text} ({each.fault})" for each in result.breaks),
    ]
    if result.more_breaks:
        told.append(f"  and {result.more_breaks:,} more")
    if result.redacted:
        told.append(f"  {result.redacted:,} events were redacted: that they happened is sealed, not of whom")
    if result.late:
        told.append(
            f"  {result.late:,} events were sealed over an hour late: look at the clocks, and at them"
        )
    if result.unsealed:
        told.append(
            f"  {result.unsealed:,} events are not sealed yet, the oldest of "
            f"{result.oldest_unsealed:%Y-%m-%d %H:%M}"
        )
    return "\n".join(told)


def person_told(found: "Found", wish: "Wish", *, erased: bool) -> str:
    """Return what an erasure took away, or would take away, and of which number; without a name."""
    number = found.person.number
    who = "somebody who is no employee" if number is None else f"employee {escape(number)}"
    lines = [f"  {name:<20} {count:>9,}" for name, count in found.counts().items()]
    if not found.anything:
        return f"Nothing is stored of {who}."
    unreadable = sum(searched.unreadable for searched in found.files)
    notes = [f"{unreadable:,} of the kept files cannot be read and may name anybody."] if unreadable else []
    if doubtful := sorted(found.person.doubtful_keys):
        ids = escape(", ".join(doubtful))
        notes += [f"Educator IDs that count only with the name, since they may be another's: {ids}."]
    if erased:
        kept = found.naming_files and not wish.delete_files
        notes += ["The kept licence files were left; they name the person until they expire."] if kept else []
        notes += ["PDFs are made again without them. Backups have everything still: see personal-data.md."]
        return "\n".join([f"Erased of {who}:", *lines, *notes])
    notes += ["Nothing was erased. With --yes it is; before that, take an export if you need one."]
    if found.naming_files and wish.delete_files is None:
        notes += ["Say what becomes of the kept licence files: --delete-files or --keep-files."]
    if found.status == "active" and not wish.even_if_active:
        notes += ["The employee is active: --even-if-active is needed."]
    return "\n".join([f"Would be erased of {who}:", *lines, *notes])
