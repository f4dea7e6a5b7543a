"""The audit trail over HTTP: pages, filters, who may read it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.constants import AuditInterface, Role
from app.models.base import utc_now
from app.storage.audit_redaction import redact_employee
from tests.support.api import HERE, THERE, Api, places, problem
from tests.support.audit import change, record, trail
from tests.support.oidc import bearer

ANN = {"last_name": "Roy", "first_name": "Ann", "status": "active"}
RUN = uuid4()


async def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/audit-events", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_event_says_who_did_what_and_from_where(api: Api) -> None:
    await api.call("PUT", "/employees/E1", ANN)
    answer = await api.call("PUT", "/employees/E1", ANN | {"last_name": "Marsh"})
    [newest, oldest] = await listed(api)
    link = {name: newest.pop(name) for name in ("id", "at", "sequence", "hash")}
    assert link["sequence"] is link["hash"] is None
    assert newest == {
        "actor": "kmarsh",
        "token_id": None,
        "interface": "api",
        "address": "127.0.0.1",
        "request_id": answer.headers["X-Request-ID"],
        "run_id": None,
        "action": "changed",
        "record_type": "employee",
        "record_id": "E1",
        "employee_number": "E1",
        "before": {"last_name": "Roy"},
        "after": {"last_name": "Marsh"},
        "redacted": False,
    }
    assert (oldest["before"], oldest["after"]["first_name"]) == (None, "Ann")
    await api.factory.audit.seal()
    assert [event["sequence"] for event in await listed(api)] == [2, 1]
    async with api.factory.database.write() as session:
        await redact_employee(await session.connection(), HERE, "E1")
    told = (await listed(api))[1]
    assert [told[name] for name in ("redacted", "record_id", "employee_number", "before", "after")] == [
        True, None, None, None, None,
    ]  # fmt: skip


async def test_every_filter_finds_what_it_names(api: Api) -> None:
    at = utc_now()
    await record(api.factory, change("E1"), district_id=HERE, at=at - timedelta(days=2))
    await api.call("PUT", "/employees/E2", ANN)
    await api.call("PUT", "/job-classes/T", {"title": "Teacher"})
    made = (await api.call("POST", "/service-tokens", {"name": "erp", "scopes": ["tasks:write"]})).json()
    task = {"description": "Licences", "status": "inactive", "timezone": "America/New_York"}
    await api.call("POST", "/tasks", task, role=None, headers=bearer(made["token"]))
    _, second, third, _, last = await trail(api.factory, HERE)
    everything = 5
    for query, found in (
        ({"actor": "certsync"}, 1),
        ({"actor": "service:erp"}, 1),
        ({"token_id": made["id"]}, 1),
        ({"interface": "api"}, 4),
        ({"interface": ["api", "service"]}, everything),
        ({"action": "added"}, 4),
        ({"record_type": ["job_class", "task"]}, 2),
        ({"record_id": "E2"}, 1),
        ({"employee_number": "E1"}, 1),
        ({"request_id": third.request_id}, 1),
        ({"run_id": str(RUN)}, 0),
        ({"at_from": (at - timedelta(days=1)).isoformat()}, 4),
        ({"at_to": (at - timedelta(days=1)).isoformat()}, 1),
        ({"q": "employee E2"}, 1),
        ({"q": "nothing"}, 0),
        ({}, everything),
    ):
        assert len(await listed(api, **query)) == found, query
    assert second.record_id == "E2"
    assert last.interface == AuditInterface.API
    assert [event["id"] for event in await listed(api, sort="at")] == [
        event["id"] for event in reversed(await listed(api))
    ]
    seen, cursor = [], None
    while True:
        query = {"limit": 2, "interface": "api"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/audit-events", params=query)).json()
        seen += [event["record_id"] for event in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 4
    assert places(await api.get("/audit-events?action=nonsense"))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HR, Role.OPS])
async def test_only_administrators_of_the_district_read_it(api: Api, role: Role) -> None:
    await api.call("PUT", "/employees/E1", ANN)
    district = "*" if role is Role.OPS else HERE
    problem(await api.get("/audit-events", role=role, district=district), 403, "forbidden")
    assert (await api.get("/audit-events", district=THERE)).json()["items"] == []
