"""Which ended runs still need their PDF, and who makes it. A cancelled run gets none."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Run

run = Run.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time

THEIRS = timedelta(seconds=15)
"""In which whoever ran `certsync import` begins to make the PDF, or is gone."""
TRIES = 3
"""How often the PDF of a run is tried before it is given up."""


def report_key(run_id: UUID, redacted_at: datetime | None = None) -> str:
    """Return the key of a run's PDF in the store; another one after each redaction of its lists.

    So whoever still makes one with what was removed cannot put it in the place of the new one.
    """
    suffix = f"-{redacted_at.astimezone(UTC):%Y%m%dT%H%M%S%f}" if redacted_at else ""
    return f"reports/{run_id}{suffix}.pdf"


def pdf_key(of: Run) -> str:
    """Return the key under which a run's PDF is stored, or would be."""
    return report_key(of.id, of.lists_redacted_at)


def _untried(now: datetime, lease: timedelta) -> sa.ColumnElement[bool]:
    """Return the condition on runs whose PDF is to be tried: nobody began it within `lease`."""
    return sa.and_(
        sa.text("run.status IN ('succeeded', 'failed')"),  # written out, as in the index
        run.c.report_pdf.is_(None),
        run.c.lists_expired_at.is_(None),
        run.c.report_tries < TRIES,
        sa.or_(run.c.report_tried_at.is_(None), run.c.report_tried_at < now - lease),
    )


async def try_report(connection: AsyncConnection, run_id: UUID, now: datetime, lease: timedelta) -> bool:
    """Count a try at the PDF of an ended run, which has `lease` to come to its end.

    False when none is to be made any more, or somebody is at it.
    """
    tried = await connection.execute(
        sa.update(run)
        .where(run.c.id == run_id, _untried(now, lease))
        .values(report_tries=run.c.report_tries + 1, report_tried_at=now)
    )
    return tried.rowcount == 1


async def forget_try(connection: AsyncConnection, run_id: UUID, *, at_once: bool) -> None:
    """Do not count a try at a PDF that an orderly stop or a lost store ended.

    The next may begin `at_once`, or else when the lease of this one is over.
    """
    values: dict[str, Any] = {"report_tries": run.c.report_tries - 1}
    if at_once:
        values["report_tried_at"] = None
    await connection.execute(
        sa.update(run).where(run.c.id == run_id, run.c.report_pdf.is_(None)).values(values)
    )


async def note_pdf(connection: AsyncConnection, made_of: Run, name: str) -> bool:
    """Record that the PDF of an ended run is there; False when its lists are not those it was made of."""
    noted = await connection.execute(
        sa.update(run)
        .where(
            run.c.id == made_of.id,
            run.c.lists_expired_at.is_(None),
            run.c.lists_redacted_at.is_not_distinct_from(made_of.lists_redacted_at),
        )
        .values(report_pdf=name)
    )
    return noted.rowcount == 1


async def next_report(
    connection: AsyncConnection,
    now: datetime,
    waited: timedelta,
    lease: timedelta,
    *,
    redacted: bool = True,
) -> UUID | None:
    """Return the run, of whichever district, that has been over longest without a PDF, and for `waited`.

    Runs whose lists were redacted, and which wait since then, come after all others, or not at all: one
    erasure leaves hundreds. The PDF of a run whose file was on somebody's disk is left to them for `THEIRS`.
    """
    since = now - waited
    again = run.c.lists_redacted_at <= since if redacted else sa.false()
    theirs = sa.and_(run.c.from_disk, run.c.ended_at > now - THEIRS)
    query = (
        sa.select(run.c.id)
        .where(
            _untried(now, lease),
            run.c.ended_at <= since,
            sa.or_(run.c.lists_redacted_at.is_(None), again),
            sa.not_(theirs),
        )
        .order_by(run.c.lists_redacted_at.is_not(None), run.c.ended_at, run.c.id)
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none()
