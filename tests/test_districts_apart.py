"""Nothing of one district is read, changed or told in another, by any route (I15)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from app.api.rules import Rule, rules
from app.constants import DEFAULT_DISTRICT as OWNER
from app.constants import Role
from app.main import create_app
from app.models import District
from app.settings import Settings
from tests.support.api import THERE as STRANGER
from tests.support.api import Api, problem
from tests.support.databases import in_every_mode
from tests.support.imports import run_import
from tests.support.lived_in import live_in

KEYED = {"Idempotency-Key": "the same in both"}
LISTS = (
    "tasks",
    "runs",
    "certifications",
    "endorsements",
    "employees",
    "job-classes",
    "connection-events",
    "import-files",
    "service-tokens",
    "audit-events",
)
REPORTS = ("report.pdf", "report.json", "skipped.csv", "rejected.csv", "changes.csv", "error-log", "events")


@dataclass
class Known:
    """What a stranger knows of the owner: a value for each parameter of a path, and items of each list."""

    paths: dict[str, str]
    items: dict[str, list[dict[str, Any]]]
    cursors: dict[str, str]
    rules: list[Rule]


@pytest.fixture
async def owned(api: Api, tmp_path: Path) -> tuple[Api, Known]:
    """An instance in which one district has something of everything, and another has nothing."""
    await api.add(District(id=OWNER, name="Owner", timezone="America/New_York"))
    await live_in(api.factory, tmp_path)
    failed = await run_import(api.factory, None)  # nobody listens at the state's server
    assert failed.failure_code == "sftp_unreachable"
    token = {"name": "erp", "scopes": ["runs:read"]}
    made = await api.call("POST", "/service-tokens", token, district=OWNER, headers=KEYED)
    assert made.status_code == 201
    items, cursors = {}, {}
    for noun in LISTS:
        page = (await api.get(f"/{noun}", district=OWNER)).json()
        assert page["items"], noun
        items[noun] = page["items"]
        cursors[noun] = (await api.get(f"/{noun}?limit=1", district=OWNER)).json()["next_cursor"]
    finished = next(run for run in items["runs"] if run["status"] == "succeeded")
    return (
        api,
        Known(
            {
                "task_id": items["tasks"][0]["id"],
                "run_id": finished["id"],
                "certification_id": items["certifications"][0]["id"],
                "endorsement_id": items["endorsements"][0]["id"],
                "token_id": items["service-tokens"][0]["id"],
                "employee_number": items["employees"][0]["employee_number"],
                "code": items["job-classes"][0]["code"],
            },
            items,
            cursors,
            rules_with_ids(tmp_path),
        ),
    )


async def everything_of(api: Api, district: str) -> dict[str, list[Any]]:
    """Return every row of a district, of every table."""
    found = {}
    async with api.factory.database.engine.connect() as connection:
        for table in SQLModel.metadata.sorted_tables:
            column = table.c.id if table.name == "district" else table.c.district_id
            rows = await connection.execute(sa.select(table).where(column == district))
            found[table.name] = sorted(map(str, rows))
    return found


def rules_with_ids(tmp_path: Path) -> list[Rule]:
    return [
        rule
        for rule in rules(create_app(Settings(data_dir=tmp_path)))
        if "{" in rule.path and rule.scope is not None
    ]


def body_for(rule: Rule) -> Any:
    """Return a body that the owner could send: only the district is in the way."""
    if rule.method == "PUT" and "employees" in rule.path:
        return {"last_name": "Taken", "first_name": "Over", "status": "active"}
    if rule.method == "PUT" and "job-classes" in rule.path:
        return {"title": "Taken over"}
    if rule.method == "PATCH":
        return {"status": "inactive"} if "tasks" in rule.path else {"expiration_date": "2040-01-01"}
    return {} if rule.method == "POST" else None


async def ids_of_another_district_name_nothing(api: Api, known: Known) -> None:
    tried = 0
    for rule in sorted(known.rules, key=lambda rule: rule.method == "PUT"):
        path = rule.path.format(**known.paths).removeprefix("/api/v1")
        for role in Role:
            district = "*" if role is Role.OPS else STRANGER
            answer = await api.call(
                rule.method, path, body_for(rule), role=role, district=district, headers=KEYED
            )
            tried += 1
            if rule.method == "PUT" and role is Role.ADMIN:
                assert answer.status_code == 201, "a number of the stranger's own, which nobody had"
                continue
            assert answer.status_code in (403, 404), (rule, role, answer.text)
            problem(answer, answer.status_code, "forbidden" if answer.status_code == 403 else "not-found")
    assert tried > 80


async def reports_are_the_owners(api: Api, known: Known) -> None:
    for run in known.items["runs"]:
        for name in REPORTS:
            answer = await api.get(f"/runs/{run['id']}/{name}", district=STRANGER)
            problem(answer, 404, "not-found")
            assert "Retry-After" not in answer.headers, "that would tell that there is such a run"


async def lists_filters_and_cursors_show_the_callers_district(api: Api, known: Known) -> None:
    for noun in LISTS:
        assert (await api.get(f"/{noun}", district=STRANGER)).json()["items"] == []
        for item in known.items[noun][:3]:
            for name, value in item.items():
                if isinstance(value, str | int) and not isinstance(value, bool):
                    shown = await api.get(f"/{noun}", params={name: value}, district=STRANGER)
                    assert shown.status_code == 422 or shown.json()["items"] == [], (noun, name)
                    found = await api.get(f"/{noun}", params={"q": str(value)[:200]}, district=STRANGER)
                    assert found.status_code == 422 or found.json()["items"] == [], (noun, name)
        if known.cursors[noun]:
            params = {"limit": 1, "cursor": known.cursors[noun]}
            assert (await api.get(f"/{noun}", params=params, district=OWNER)).json()["items"]
            assert (await api.get(f"/{noun}", params=params, district=STRANGER)).json()["items"] == []


async def references_to_another_district_are_refused(api: Api, known: Known) -> None:
    licence = {"employee_number": known.paths["employee_number"], "license_number": "1", "status": "ACT"}
    endorsement = {"certification_id": known.paths["certification_id"], "code": "2-05"}
    for noun, body in (("certifications", licence), ("endorsements", endorsement)):
        answer = await api.call("POST", f"/{noun}", body, district=STRANGER)
        assert answer.status_code in (404, 422), answer.text
        assert known.paths["certification_id"] not in answer.text or noun == "endorsements"
    assert (await api.get("/endorsements", district=STRANGER)).json()["items"] == []


async def an_idempotency_key_is_of_one_district(api: Api) -> None:
    body = {"description": "of the owner", "status": "inactive"}
    key = {"Idempotency-Key": "a task"}
    first = await api.call("POST", "/tasks", body, district=OWNER, headers=key)
    other = await api.call("POST", "/tasks", body, district=STRANGER, headers=key)
    assert (first.status_code, other.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in other.headers
    assert first.json()["id"] != other.json()["id"]


async def the_connection_and_the_lock_are_the_callers(api: Api) -> None:
    problem(await api.get("/sftp-connection", district=STRANGER), 404, "not-found")
    tested = (await api.call("POST", "/sftp-connection/test", {}, district=STRANGER)).json()
    assert tested["failure"]["code"] == "sftp_not_configured"
    holder = await api.get("/import-lock", district=STRANGER)
    assert holder.json() == {"locked": False, "run_id": None, "since": None}


@in_every_mode
async def test_nothing_of_one_district_is_read_in_another(owned: tuple[Api, Known]) -> None:
    api, known = owned
    await reports_are_the_owners(api, known)
    await lists_filters_and_cursors_show_the_callers_district(api, known)
    await the_connection_and_the_lock_are_the_callers(api)


@in_every_mode
async def test_nothing_of_one_district_is_written_from_another(owned: tuple[Api, Known]) -> None:
    api, known = owned
    before = await everything_of(api, OWNER)
    assert all(before.values()), {name for name, rows in before.items() if not rows}
    await references_to_another_district_are_refused(api, known)
    await ids_of_another_district_name_nothing(api, known)
    assert await everything_of(api, OWNER) == before
    await an_idempotency_key_is_of_one_district(api)
