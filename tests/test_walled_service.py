"""The service where PostgreSQL keeps districts apart: each part says itself what it reaches."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from app.access import Scope
from app.cli.main import cli
from app.constants import DEFAULT_DISTRICT
from app.errors import ConfigurationError
from app.models import ConnectionEvent, District
from app.models.base import utc_now
from app.reach import everywhere
from app.services.encryption_keys import KeyRole
from app.settings import Settings
from tests.support.api import Api, of_nobody, problem, running_api
from tests.support.imports import empty_pdf, row, run_table, select, write, write_file
from tests.support.lived_in import live_in
from tests.support.oidc import AUDIENCE, Provider, bearer
from tests.support.schedules import task_table
from tests.support.walls import OWNER, as_role
from workers.expire import expire
from workers.forget import forget
from workers.run_import import run_import
from workers.seal import seal
from workers.sweep import sweep
from workers.tick import recompute, tick

Result = TypeVar("Result")
event = ConnectionEvent.__table__  # type: ignore[attr-defined] # SQLModel adds it at run time
OTHER = "other"


async def alone(work: Coroutine[Any, Any, Result]) -> Result:
    """Do what a job does, in a task of which nobody has said whose rows it reaches."""
    return await asyncio.create_task(work, context=of_nobody())


@pytest.fixture
async def lived(walled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """An instance of two districts that has been in use; what the test itself asks for reaches both."""
    monkeypatch.setattr("app.services.run_reporting.render_pdf", empty_pdf)
    with everywhere():
        async with running_api(walled) as api:
            for district in (DEFAULT_DISTRICT, OTHER):
                await api.add(District(id=district, name=district, timezone="America/New_York"))
            await live_in(api.factory, tmp_path)
            yield api


async def test_what_is_of_the_whole_deployment_reaches_every_district(lived: Api) -> None:
    await keys_and_figures(lived)
    await what_workers_do(lived)


async def what_workers_do(lived: Api) -> None:
    factory = lived.factory
    jobs = {"factory": factory, "executing": set(), "job_id": "1", "job_try": 1}
    jobs["worker"] = type("Worker", (), {"allow_pick_jobs": True})()
    before = await select(factory, sa.select(run_table.c.id).where(run_table.c.status == "waiting"))
    await write(factory, sa.update(task_table).values(next_run_at=utc_now()))
    await write(factory, sa.update(event).values(at=sa.func.now() - sa.text("interval '9 years'")))
    await write(factory, sa.delete(run_table).where(run_table.c.status == "waiting"))
    await alone(recompute(factory))
    await alone(tick(jobs))
    placed = await select(factory, sa.select(run_table.c.id).where(run_table.c.status == "waiting"))
    assert len(placed) == len(before) == 1
    tasks = (await lived.get("/tasks", district=DEFAULT_DISTRICT)).json()["items"]
    path = f"/tasks/{tasks[0]['id']}/run"
    started = await lived.call("POST", path, {}, district=DEFAULT_DISTRICT)
    assert started.status_code in (201, 202), started.text
    await alone(sweep(jobs))
    await alone(run_import(jobs, started.json()["id"]))
    run = (await lived.get(f"/runs/{started.json()['id']}", district=DEFAULT_DISTRICT)).json()
    assert (run["status"], run["failure"]["code"]) == ("failed", "sftp_unreachable")
    await alone(seal(jobs))
    await alone(forget(jobs))
    await alone(expire(jobs))
    assert len(await select(factory, sa.select(event.c.id))) == 1, "that of the last run"


async def keys_and_figures(lived: Api) -> None:
    factory = lived.factory
    await alone(factory.keys.check())
    uses = await alone(factory.keys.uses())
    assert sum(use.values for use in uses if use.role is KeyRole.PRIMARY) > 5
    assert (await alone(factory.keys.rotate())).renewed == 0
    made = await alone(
        factory.service_tokens.create(None, "ops", "prometheus", [Scope.DEPLOYMENT_READ], None)
    )
    scraped = await lived.call(
        "GET", "/metrics", role=None, headers={"Authorization": f"Bearer {made.token}"}
    )
    assert 'certsync_newest_file_age_seconds{district="default"}' in scraped.text
    ready = await lived.get("/health/ready")
    parts = {part["name"]: part["status"] for part in ready.json()["components"]}
    assert all(parts[name] == "up" for name in ("database", "schema", "queue")), parts


@pytest.mark.parametrize("district", ["\ud800", "a\x00b"], ids=["surrogate", "nul"])
async def test_a_district_that_no_database_stores_is_an_unknown_one(
    walled: Settings, provider: Provider, district: str
) -> None:
    signing_in = {
        "oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "allow_instance_tokens": True,
    }  # fmt: skip
    with everywhere():
        async with running_api(walled.model_copy(update=signing_in)) as api:
            for token in (api.token(district=district), provider.forged({"district": district})):
                refused = await api.get("/tasks", role=None, headers=bearer(token))
                assert "not here" in problem(refused, 401, "unauthorized")["detail"]


def test_the_command_line_reaches_what_it_is_about(
    walled: Settings,
    walled_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert walled.database_url
    monkeypatch.setattr("app.cli.common.configure_logging", lambda _: None)
    monkeypatch.setattr("app.services.run_reporting.render_pdf", empty_pdf)
    monkeypatch.setenv("CERTSYNC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CERTSYNC_DATABASE_URL", walled.database_url.get_secret_value())

    def run(*arguments: str) -> str:
        assert not cli(arguments, standalone_mode=False)
        return capsys.readouterr().out

    with monkeypatch.context() as migrating:
        migrating.setenv("CERTSYNC_MIGRATION_DATABASE_URL", as_role(walled_url, OWNER))
        run("migrate")
    run("districts", "add", OTHER)
    listed = run("districts", "list")
    assert OTHER in listed
    assert DEFAULT_DISTRICT in listed
    run("districts", "pause", OTHER)
    people = tmp_path / "people.csv"
    people.write_text("employee_number,state_staff_id,last_name,first_name,status\n1,9,Roy,Ann,active\n")
    assert "1 created" in run("employees", "load", str(people), "--district", OTHER)
    licences = write_file(tmp_path, [row("9", "Roy", "Ann")])
    imported = run("import", str(licences), "--district", OTHER)
    assert re.search(r"certifications imported +│ 1 │", imported), imported
    run("service-tokens", "create", "erp", "--scope", "runs:read", "--district", OTHER)
    assert "erp" in run("service-tokens", "list", "--district", OTHER)
    assert "erp" not in run("service-tokens", "list")
    run("service-tokens", "create", "watch", "--deployment")
    assert "watch" in run("service-tokens", "list", "--deployment")
    run("keys", "rotate")
    assert run("connection-events", "export") == ""
    monkeypatch.setenv("CERTSYNC_DATABASE_URL", as_role(walled_url, OWNER))
    with pytest.raises(ConfigurationError, match=f"not for the role {OWNER}"):
        run("keys", "list")
