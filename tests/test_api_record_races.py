"""Many people write the same certifications and endorsements at once: who is second hears so."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.storage.conflicts import RETRY, conflict_of
from app.storage.record_ids import endorsement_id
from tests.support.api import Api
from tests.support.imports import certification, endorsement, select, write
from tests.support.records import (
    CODE,
    LICENCE,
    add_certification,
    add_endorsement,
    edit_version,
    edits,
    hire,
)


async def stored(api: Api) -> list[dict[str, Any]]:
    return await select(api.factory, sa.select(certification).order_by(certification.c.id))


async def test_the_same_licence_added_by_many_at_once(api: Api) -> None:
    await hire(api, "E1")
    answers = await asyncio.gather(*(api.call("POST", "/certifications", LICENCE) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(await stored(api)) == len(await edits(api)) == await edit_version(api) == 1


async def test_of_changes_to_one_version_one_is_made(api: Api) -> None:
    await hire(api, "E1")
    record = await add_certification(api)
    current = {"If-Match": f'"{record["version"]}"'}
    answers = await asyncio.gather(
        *(
            api.call("PATCH", f"/certifications/{record['id']}", {"status": f"S{n}"}, headers=current)
            for n in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    accepted = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await api.get(f"/certifications/{record['id']}")).json() == accepted


async def test_an_employee_is_deleted_while_licences_are_added(api: Api) -> None:
    """The two wait for each other in one order, so that neither is killed for it."""
    for round_ in range(10):
        await hire(api, "E1")
        bodies = [LICENCE | {"license_number": f"L{round_}-{n}"} for n in range(4)]
        deleted, *added = await asyncio.gather(
            api.call("DELETE", "/employees/E1"),
            *(api.call("POST", "/certifications", body) for body in bodies),
        )
        codes = {answer.status_code for answer in added}
        assert (deleted.status_code, codes) in [(409, {201}), (204, {422})]
        assert len(await stored(api)) == (0 if deleted.status_code == 204 else 4)
        await write(api.factory, sa.delete(certification))


async def test_a_licence_is_deleted_while_endorsements_are_added(api: Api) -> None:
    """Each that was added before went with it, and is logged."""
    await hire(api, "E1")
    for _ in range(10):
        licence = await add_certification(api)
        body = {"certification_id": licence["id"], **CODE}
        deleted, *added = await asyncio.gather(
            api.call("DELETE", f"/certifications/{licence['id']}"),
            *(api.call("POST", "/endorsements", body | {"code": str(n)}) for n in range(4)),
        )
        assert deleted.status_code == 204
        assert {answer.status_code for answer in added} <= {201, 422}
        assert await select(api.factory, sa.select(endorsement)) == []
    log = [(edit["public_id"], edit["action"]) for edit in await edits(api)]
    actions = {identifier: [action for key, action in log if key == identifier] for identifier, _ in log}
    assert all(found == ["added", "deleted"] * (len(found) // 2) for found in actions.values())


async def test_many_of_a_code_added_at_once(api: Api) -> None:
    await hire(api, "E1")
    licence = await add_certification(api)
    bodies = [{"certification_id": licence["id"], **CODE, "limitation": str(n % 6)} for n in range(12)]
    answers = await asyncio.gather(*(api.call("POST", "/endorsements", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 6 + [409] * 6
    added = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert added == {str(endorsement_id(UUID(licence["id"]), "11", ordinal)) for ordinal in range(1, 7)}


async def test_of_many_choices_at_once_one_is_primary(api: Api) -> None:
    await hire(api, "E1")
    licence = await add_certification(api)
    paths = [f"/endorsements/{(await add_endorsement(api, licence, code=str(n)))['id']}" for n in range(6)]
    answers = await asyncio.gather(*(api.call("PATCH", path, {"primary": True}) for path in paths))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 5
    chosen = [each for path in paths if (each := (await api.get(path)).json())["primary"]]
    assert chosen == [answer.json() for answer in answers if answer.status_code == 200]


RULES = {
    "certification": "The same certification was added at the same moment. ",
    "endorsement": "An endorsement of this code was added at the same moment. ",
    "primary": "Another endorsement of the employee became the primary one. ",
    "licence": "The certification was deleted at the same moment. ",
}


@pytest.mark.parametrize("rule", RULES)
async def test_the_database_refuses_what_loses_a_race(api: Api, rule: str) -> None:
    await hire(api, "E1")
    await add_endorsement(api, await add_certification(api), primary=True)
    table = certification if rule == "certification" else endorsement
    [stored_values] = await select(api.factory, sa.select(*(c for c in table.c if c.name != "id")))
    changes: dict[str, dict[str, Any]] = {
        "certification": {},
        "endorsement": {"is_primary": False},
        "primary": {"public_id": uuid4()},
        "licence": {"public_id": uuid4(), "is_primary": False, "certification_id": 0},
    }
    with pytest.raises(IntegrityError) as caught:
        await write(api.factory, sa.insert(table).values(stored_values | changes[rule]))
    conflict = conflict_of(caught.value)
    assert conflict is not None
    assert conflict.detail == ("" if api.factory.database.is_sqlite else RULES[rule]) + RETRY
