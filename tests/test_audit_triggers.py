"""What the triggers of the audit trail refuse to somebody who has the service's password."""

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.factory import Factory
from app.models.base import utc_now
from app.storage import audit_chain
from app.storage.audit_chain import anchor, redaction
from app.storage.audit_events import seal
from app.storage.audit_redaction import redact_employee
from tests.support.audit import change, count, record, sealed_trail, trail
from tests.support.imports import DISTRICT, add_district, write


async def refuses(factory: Factory, *statements: Any) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="append-only"):
        await write(factory, *statements)


async def test_an_anchor_comes_only_to_a_link(factory: Factory) -> None:
    await add_district(factory, "other")
    await sealed_trail(factory, 2)
    for district_id, sequence in ((DISTRICT, 1_000_000), (DISTRICT, 2), ("other", 1)):
        place = {"district_id": district_id, "sequence": sequence, "hash": "a" * 64}
        await refuses(factory, sa.insert(anchor).values(place))
    last = (await trail(factory))[-1]
    await refuses(
        factory, sa.insert(anchor).values(district_id="other", sequence=last.sequence, hash=last.hash)
    )


async def test_a_link_comes_only_after_the_anchor(factory: Factory) -> None:
    await sealed_trail(factory, 3)
    async with factory.database.write() as session:
        assert await audit_chain.forget(await session.connection(), DISTRICT, utc_now(), 2) == 2
    [unsealed] = await record(factory, change("E9"))
    for sequence in (1, 2):
        link = {"district_id": DISTRICT, "sequence": sequence, "event_id": unsealed, "hash": "a" * 64}
        await refuses(factory, sa.insert(seal).values(link))
    assert await factory.audit.seal() == 2


async def test_a_redaction_names_a_new_event_that_tells_of_it(factory: Factory) -> None:
    await add_district(factory, "other")
    await sealed_trail(factory, 4)
    async with factory.database.write() as session:
        assert await redact_employee(await session.connection(), DISTRICT, "E0") == 1
    first, second, third, _, told = await trail(factory)
    assert told.action == "redacted"
    [unsealed] = await record(factory, change("E9"))

    def named(event_id: Any, redaction_id: Any, district_id: str = DISTRICT) -> Any:
        return sa.insert(redaction).values(
            event_id=event_id, district_id=district_id, redaction_id=redaction_id
        )

    await refuses(factory, named(second.id, third.id))  # no redaction
    await refuses(factory, named(uuid4(), told.id))
    await refuses(factory, named(unsealed, told.id))
    await refuses(factory, named(second.id, told.id, "other"))
    await factory.audit.seal()
    await refuses(factory, named(second.id, told.id))  # an old one
    assert first.content is None


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
@pytest.mark.parametrize("path", ["", "SET LOCAL search_path = pg_temp, public"])
async def test_tables_of_the_same_name_do_not_deceive_the_triggers(factory: Factory, path: str) -> None:
    await sealed_trail(factory, 2)
    known = await count(factory)
    made = "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {}"
    shadows = [
        made.format("audit_seal", "* FROM public.audit_seal"),
        made.format("audit_anchor", "id AS district_id, 9 AS sequence FROM public.district"),
        made.format("audit_redaction", "event_id FROM public.audit_seal"),
        *([path] if path else []),
    ]
    for statement in (
        "DELETE FROM public.audit_payload",
        "INSERT INTO public.audit_anchor SELECT district_id, 7, 'x' FROM public.audit_seal LIMIT 1",
    ):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            await write(factory, *map(sa.text, [*shadows, statement]))
    assert await count(factory) == known
    assert all(each.content for each in await trail(factory))
