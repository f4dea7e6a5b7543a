"""What service tokens read of personal data: counted without a write a read, and shown with the tokens."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from app.access import Scope
from app.api.rules import rules
from app.factory import Factory
from app.main import create_app
from app.models.base import utc_now
from app.services import token_reads as service
from app.services.token_reads import kind_of
from app.settings import Settings
from app.storage import token_reads
from tests.support.api import HERE, Api, running_api
from tests.support.commands import certsync, succeeded
from tests.support.imports import add_district, row, run_import, select, write_file
from tests.support.oidc import bearer

ANN = {"last_name": "Roy", "first_name": "Ann", "status": "active"}


async def token(api: Api, *scopes: str) -> dict[str, Any]:
    made = await api.call("POST", "/service-tokens", {"name": "erp", "scopes": scopes})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def shown(api: Api, token_id: str) -> Any:
    return (await api.get(f"/service-tokens/{token_id}")).json()


def test_which_routes_are_about_persons(tmp_path: Path) -> None:
    found: dict[str | None, list[str]] = {}
    for rule in rules(create_app(Settings(data_dir=tmp_path))):
        found.setdefault(kind_of(rule.method, rule.path), []).append(f"{rule.method} {rule.path}")
    del found[None]
    base = "GET /api/v1"
    assert {kind: sorted(routes) for kind, routes in found.items() if kind} == {
        "certifications": [f"{base}/certifications", f"{base}/certifications/{{certification_id}}"],
        "endorsements": [f"{base}/endorsements", f"{base}/endorsements/{{endorsement_id}}"],
        "employees": [f"{base}/employees", f"{base}/employees/{{employee_number}}"],
        "audit-events": [f"{base}/audit-events"],
        "run-reports": [
            f"{base}/runs/{{run_id}}/{name}"
            for name in ("changes.csv", "rejected.csv", "report.json", "report.pdf", "skipped.csv")
        ],
    }


async def test_reads_of_a_token_are_counted_and_shown(api: Api) -> None:
    made = await token(api, "employees:read", "tasks:read")
    assert (made["last_used_at"], made["reads"]) == (None, [])
    for number in range(3):
        await api.call("PUT", f"/employees/E{number}", ANN)
    reader = bearer(made["token"])
    for path, status in (
        ("/employees?limit=2", 200),
        ("/employees?last_name=nobody", 200),
        ("/employees/E1", 200),
        ("/employees/E9", 404),
        ("/tasks", 200),
        ("/certifications", 403),
    ):
        answer = await api.get(path, role=None, headers=reader)
        assert answer.status_code == status
    await api.get("/employees")  # a person's reads are not counted
    before = await shown(api, made["id"])
    assert (before["last_used_at"], before["reads"]) == (None, []), "no read writes"
    await api.factory.token_reads.flush()
    after = await shown(api, made["id"])
    assert after["reads"] == [{"kind": "employees", "requests": 3, "records": 3}]
    assert after["last_used_at"] is not None
    [listed] = (await api.get("/service-tokens")).json()["items"]
    assert listed == after
    await api.get("/employees", role=None, headers=reader)
    await api.factory.token_reads.flush()
    assert (await shown(api, made["id"]))["reads"] == [{"kind": "employees", "requests": 4, "records": 6}]


async def test_a_streamed_report_counts_its_lines(api: Api, tmp_path: Path) -> None:
    for number in (1, 2):
        await api.call(
            "PUT", f"/employees/E{number}", ANN | {"state_staff_id": str(number), "last_name": f"R{number}x"}
        )
    file = write_file(tmp_path, [row("1", "R1x", "Ann"), row("2", "R2x", "Ann", "L2")])
    run = await run_import(api.factory, file, HERE)
    made = await token(api, "runs:read")
    answer = await api.get(f"/runs/{run.id}/changes.csv", role=None, headers=bearer(made["token"]))
    assert len(answer.text.splitlines()) == 3
    await api.factory.token_reads.flush()
    assert (await shown(api, made["id"]))["reads"] == [{"kind": "run-reports", "requests": 1, "records": 2}]


async def test_a_failed_flush_breaks_nothing_and_loses_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    made = await token(api, "employees:read")
    reader = bearer(made["token"])
    await api.get("/employees/E1", role=None, headers=reader)
    await api.call("PUT", "/employees/E1", ANN)
    await api.get("/employees/E1", role=None, headers=reader)
    with monkeypatch.context() as patched:

        async def fails(*_: Any) -> None:
            raise OSError

        patched.setattr(token_reads, "add", fails)
        await api.factory.token_reads._try_flush()
    assert "token_reads_not_flushed" in [event["event"] for event in logs]
    assert (await api.get("/employees/E1", role=None, headers=reader)).status_code == 200
    await api.factory.token_reads.flush()
    assert (await shown(api, made["id"]))["reads"] == [{"kind": "employees", "requests": 2, "records": 2}]


async def test_what_was_counted_is_written_when_the_process_stops(settings: Settings) -> None:
    async with running_api(settings) as api:
        made = await token(api, "employees:read")
        await api.get("/employees", role=None, headers=bearer(made["token"]))
    factory = Factory(settings)
    try:
        counted = await select(factory, sa.select(token_reads.read))
    finally:
        await factory.close()
    assert [(each["kind"], each["requests"], each["records"]) for each in counted] == [("employees", 1, 0)]


async def test_a_process_flushes_by_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FLUSH_SECONDS", 0)
    async with running_api(settings) as api:
        made = await token(api, "employees:read")
        await api.get("/employees", role=None, headers=bearer(made["token"]))
        while not (found := await shown(api, made["id"]))["reads"]:
            pass
        assert found["reads"][0]["requests"] == 1


async def test_two_processes_add_to_each_other_and_days_are_forgotten(factory: Factory) -> None:
    await add_district(factory, HERE)
    made = await factory.service_tokens.create(HERE, "admin", "erp", [Scope.EMPLOYEES_READ], None)
    other = Factory(factory.settings)
    for each in (factory, other):
        reading = each.token_reads.reading(
            await each.authentication.caller(made.token or ""), "GET", "/api/v1/employees"
        )
        assert reading is not None
        each.token_reads.end(reading, 200)
        await each.token_reads.flush()
    await other.close()
    totals = await factory.token_reads.totals(HERE, [made.row.id])
    assert totals == {made.row.id: {"employees": (2, 2)}}
    told = succeeded(
        certsync(
            factory.settings.data_dir,
            "service-tokens",
            "list",
            "--district",
            HERE,
            COLUMNS="200",
            **(
                {"CERTSYNC_DATABASE_URL": factory.settings.database_url.get_secret_value()}
                if factory.settings.database_url
                else {}
            ),
        )
    )
    assert "employees: 2 in 2" in told
    with time_machine.travel(utc_now() + timedelta(days=31), tick=False):
        assert await factory.token_reads.totals(HERE, [made.row.id]) == {}
    await factory.token_reads.forget(utc_now() + timedelta(days=factory.settings.audit_event_days - 1))
    assert await select(factory, sa.select(token_reads.read))
    await factory.token_reads.forget(utc_now() + timedelta(days=factory.settings.audit_event_days + 1))
    assert await select(factory, sa.select(token_reads.read)) == []
