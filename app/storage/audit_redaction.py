"""Deletes what the audit trail says of one person, and leaves that it happened."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import AuditAction, AuditRecord
from app.models.base import utc_now
from app.storage import audit_chain, audit_events
from app.storage.audit_chain import redaction
from app.storage.audit_events import Change, event, payload, seal


async def redact_employee(connection: AsyncConnection, district_id: str, employee_number: str) -> int:
    """Delete the payloads of every event about an employee's records; return how many there were.

    For the transaction that erases the person, after everything else of it: that too leaves events. The
    events stay in the chain, which covers digests of the payloads alone; another tells of the redaction, and
    does not say of whom. Until the transaction ends nobody else seals or deletes events of the district.

    Events without a link get theirs here, so that the one that tells of the redaction stands after them:
    retention, which goes along the chain, deletes it no earlier than what refers to it.
    """
    await audit_chain.be_only_one(connection, district_id)
    query: Any = (
        sa.select(*event.c, seal.c.sequence)
        .join(payload, payload.c.event_id == event.c.id)
        .outerjoin(seal, sa.and_(seal.c.event_id == event.c.id, seal.c.district_id == district_id))
        .where(payload.c.district_id == district_id, payload.c.employee_number == employee_number)
        .order_by(event.c.at, event.c.id)
    )
    found = (await connection.execute(query)).all()  # read once: what is committed later is another's
    if not found:
        return 0
    if unsealed := [each for each in found if each.sequence is None]:
        head, _ = await audit_chain.head_of(connection, district_id)
        await audit_chain.append(connection, district_id, head, unsealed)
    at = max(utc_now(), found[-1].at + timedelta(microseconds=1))  # later than all, whatever the clocks say
    change = Change(AuditAction.REDACTED, AuditRecord.EMPLOYEE, None, None, {"events": len(found)})
    [redaction_id] = await audit_events.record(connection, district_id, change, at=at)
    named = [
        {"event_id": each.id, "district_id": district_id, "redaction_id": redaction_id} for each in found
    ]
    await connection.execute(sa.insert(redaction), named)
    ours = sa.select(redaction.c.event_id).where(
        redaction.c.district_id == district_id, redaction.c.redaction_id == redaction_id
    )
    gone = await connection.execute(
        sa.delete(payload).where(payload.c.district_id == district_id, payload.c.event_id.in_(ours))
    )
    return gone.rowcount
