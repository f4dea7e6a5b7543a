"""`/metrics`: who may see it, what the database says, what a process counts, and without a database."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from pydantic import SecretStr

from app.constants import ConnectionPhase, FileState, Role, RunKind, RunPhase, RunStatus, RunTrigger
from app.database import Database
from app.models import ConnectionEvent, ImportFile
from app.models.base import utc_now
from app.settings import Settings
from app.storage import metrics as queries
from tests.support.api import HERE, THERE, Api, problem
from tests.support.processes import until_async
from tests.support.runs import ended_run, running, waiting_run

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(api: Api) -> Figures:
    response = await api.get("/metrics", role=Role.OPS, district="*")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(response.text)
        for sample in family.samples
    }


def of(figures: Figures, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric by its labels' values, in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(labels)): figure
        for (found, labels), figure in figures.items()
        if found == name
    }


async def test_only_operators_of_the_whole_deployment_see_it(api: Api) -> None:
    problem(await api.get("/metrics", role=None), 401, "unauthorized")
    for role in (Role.VIEWER, Role.HR, Role.ADMIN):
        problem(await api.get("/metrics", role=role), 403, "forbidden")
    problem(await api.get("/metrics", role=Role.OPS, district=HERE), 403, "forbidden")


async def test_openmetrics_when_a_scraper_asks_for_it(api: Api) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = await api.get("/metrics", role=Role.OPS, district="*", headers=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(response.text)  # type: ignore[no-untyped-call]
    assert any(family.name == "certsync_runs" for family in families)


async def test_an_empty_deployment_has_its_figures(api: Api) -> None:
    figures = await scrape(api)
    assert of(figures, "certsync_queue_depth") == {(): 0}
    assert of(figures, "certsync_queue_oldest_wait_seconds") == {(): 0}
    assert of(figures, "certsync_figures_readable") == {(): 1}
    assert of(figures, "certsync_workers") == {(): 0}
    up = {"database": 1, "schema": 1, "storage": 1, "queue": 1, "redis": 0, "worker": 0}
    assert of(figures, "certsync_component_up") == {(name,): value for name, value in up.items()}


def failed(code: str, **values: Any) -> Any:
    return ended_run(RunStatus.FAILED, failure_code=code, phase=RunPhase.FETCH, **values)


def retained(district: str, datestamp: str, **values: Any) -> ImportFile:
    common: dict[str, Any] = {"name": "a file", "sha256": "0" * 64, "size": 1, "stored_as": "x"}
    common |= {"state": FileState.RETAINED}
    return ImportFile(**common | {"district_id": district, "datestamp": datestamp} | values)


async def test_runs_of_all_districts_by_status_and_phase(api: Api) -> None:
    now = utc_now()
    hour, long_ago = now - timedelta(hours=1), now - timedelta(hours=25)
    await api.add(
        running(),
        waiting_run(district_id=THERE, scheduled_start=now - timedelta(seconds=100)),
        waiting_run(scheduled_start=hour, from_disk=True),
        waiting_run(scheduled_start=now + timedelta(hours=1)),
        *(ended_run(ended_at=hour, district_id=district) for district in (HERE, THERE, THERE)),
        ended_run(ended_at=long_ago),
        failed("sftp_timeout", ended_at=hour),
        failed("no_file", ended_at=hour),
        failed("no_file", ended_at=long_ago),
    )
    figures = await scrape(api)
    assert of(figures, "certsync_runs") == {
        ("parse", "in_progress"): 1,
        ("none", "waiting"): 3,
        ("report", "succeeded"): 3,
        ("fetch", "failed"): 2,
    }
    assert of(figures, "certsync_runs_failed") == {("sftp_timeout",): 1, ("no_file",): 1}
    assert of(figures, "certsync_queue_depth") == {(): 1}
    assert 100 <= of(figures, "certsync_queue_oldest_wait_seconds")[()] < 110


async def test_a_district_fails_until_its_next_import_succeeds(api: Api) -> None:
    now = utc_now()

    def at(hours: int) -> dict[str, Any]:
        moment = now - timedelta(hours=hours)
        return {"scheduled_start": moment, "ended_at": moment}

    await api.add(failed("sftp_timeout", **at(90)), failed("no_file", district_id=THERE, **at(80)))
    assert of(await scrape(api), "certsync_districts_failing") == {("sftp_timeout",): 1, ("no_file",): 1}
    await api.add(
        ended_run(kind=RunKind.PREVIEW, **at(70)),
        ended_run(RunStatus.CANCELLED, **at(60)),
        ended_run(district_id=THERE, **at(50)),
        waiting_run(scheduled_start=now + timedelta(hours=1)),
    )
    assert of(await scrape(api), "certsync_districts_failing") == {("sftp_timeout",): 1}


async def test_a_district_that_is_paused_raises_no_alarm(api: Api) -> None:
    await api.add(failed("no_file", ended_at=utc_now()), retained(HERE, "2026-06-01T01:00:00"))
    assert of(await scrape(api), "certsync_newest_file_age_seconds")
    await api.factory.districts.pause(HERE)
    figures = await scrape(api)
    assert of(figures, "certsync_districts_failing") == {}
    assert of(figures, "certsync_newest_file_age_seconds") == {}


async def test_a_time_zone_that_only_other_hosts_know_hides_one_figure(api: Api, logs: list[Any]) -> None:
    async with api.factory.database.write() as session:
        connection = await session.connection()
        await connection.execute(
            sa.update(queries.district)
            .where(queries.district.c.id == HERE)
            .values(timezone="America/Atlantis")
        )
    await api.add(*(retained(district, "2026-06-01T01:00:00") for district in (HERE, THERE)))
    figures = await scrape(api)
    assert of(figures, "certsync_newest_file_age_seconds").keys() == {(THERE,)}
    assert of(figures, "certsync_figures_readable") == {(): 1}
    assert [event["district"] for event in logs if event["event"] == "time_zone_unknown"] == [HERE]


async def test_who_scraped_is_in_the_log(api: Api, logs: list[Any]) -> None:
    await scrape(api)
    assert [event["user"] for event in logs if event["event"] == "request"] == ["kmarsh"]


async def test_the_age_of_the_newest_file_is_by_the_districts_own_clock(api: Api) -> None:
    written = {HERE: "2026-11-22T01:00:00", THERE: "2026-11-21T01:00:00"}  # New York, Chicago
    await api.add(
        *(retained(district, stamp) for district, stamp in written.items()),
        retained(HERE, "2026-11-01T01:00:00", name="older"),
        retained(HERE, "2026-12-24T00:00:00", state=FileState.QUARANTINED),
    )
    ages = of(await scrape(api), "certsync_newest_file_age_seconds")
    now = datetime.now(UTC)
    assert ages[(HERE,)] == pytest.approx(
        (now - datetime(2026, 11, 22, 6, tzinfo=UTC)).total_seconds(), abs=5
    )
    assert ages[(THERE,)] == pytest.approx(
        (now - datetime(2026, 11, 21, 7, tzinfo=UTC)).total_seconds(), abs=5
    )


async def test_failed_connections_by_code(api: Api) -> None:
    def event(code: str | None, hours: int) -> ConnectionEvent:
        return ConnectionEvent(
            district_id=HERE,
            at=utc_now() - timedelta(hours=hours),
            host_encrypted="x",
            port=22,
            username_encrypted="x",
            phase=ConnectionPhase.CONNECT,
            succeeded=code is None,
            failure_code=code,
        )

    codes = ("sftp_timeout", "sftp_timeout", "sftp_auth_failed", None)
    await api.add(*(event(code, 1) for code in codes), event("sftp_unreachable", 25))
    failures = of(await scrape(api), "certsync_sftp_failures")
    assert failures == {("sftp_timeout",): 2, ("sftp_auth_failed",): 1}


async def test_requests_are_counted_by_template_and_never_by_path(api: Api) -> None:
    for path in (f"/runs/{uuid4()}", f"/runs/{uuid4()}", "/nothing/here", "/employees?q=Marsh"):
        await api.get(path)
    await api.client.request("SPELL", "/api/v1/employees/1001")
    await api.get("/employees", role=None)
    await api.call("PUT", "/employees/1001", {"last_name": 7})
    figures = await scrape(api)
    counts = of(figures, "certsync_http_request_duration_seconds_count")
    assert counts[("GET", "/api/v1/runs/{run_id}", "4xx")] == 2
    assert counts[("GET", "none", "4xx")] == 1
    assert counts[("GET", "/api/v1/employees", "2xx")] == 1
    assert [count for (method, _, _), count in counts.items() if method == "other"] == [1]
    assert of(figures, "certsync_requests_refused_total") == {("401",): 1, ("422",): 1}
    assert of(figures, "certsync_writes_refused_total") == {(): 0}
    assert not [labels for _, labels in figures if "Marsh" in str(labels) or "1001" in str(labels)]


async def test_a_write_refused_by_an_import_is_counted(api: Api) -> None:
    await api.add(running(phase=RunPhase.REPLACE, replacing_since=utc_now()))
    body = {"employee_number": "1", "license_number": "L1", "license_type": "Level II", "status": "ACT"}
    assert (await api.call("POST", "/certifications", body)).status_code == 423
    figures = await scrape(api)
    assert of(figures, "certsync_writes_refused_total") == {(): 1}
    assert of(figures, "certsync_requests_refused_total") == {}


async def test_scrapes_that_come_together_ask_the_database_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    due = queries.failing_districts

    async def counted(connection: Any) -> Any:
        nonlocal asked
        asked += 1
        return await due(connection)

    monkeypatch.setattr(queries, "failing_districts", counted)
    await asyncio.gather(*(scrape(api) for _ in range(5)))
    assert asked == 1


async def test_without_a_database_it_says_so_and_shows_the_rest(
    api: Api, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    nowhere = Database(Settings(database_url=SecretStr("postgresql://certsync:hush@127.0.0.1:1/certsync")))
    monkeypatch.setattr(api.factory.watching, "engine", nowhere.engine)
    await api.get("/employees", role=None)
    figures = await scrape(api)
    assert of(figures, "certsync_component_up")[("database",)] == 0
    assert of(figures, "certsync_figures_readable") == {(): 0}
    assert of(figures, "certsync_requests_refused_total") == {("401",): 1}
    assert of(figures, "certsync_queue_depth") == {}
    assert [event["error"] for event in logs if event["event"] == "figures_unreadable"] == [
        "OperationalError"
    ]


async def test_a_database_that_hangs_delays_a_scrape_by_the_limit_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("app.services.metrics.LIMIT", 0.2)
    monkeypatch.setattr(queries, "newest_files", forever)
    async with asyncio.timeout(20):
        assert of(await scrape(api), "certsync_figures_readable") == {(): 0}
    pool: Any = api.factory.watching.engine.pool
    await until_async(lambda: not pool.checkedout())  # the end forgets what is given back later


async def test_the_queries_of_a_scrape_read_by_index_what_counts(api: Api) -> None:
    """Among many ended runs, which districts gather in years, none is read that does not count."""
    database, now = api.factory.watching, utc_now()
    ended = {"status": RunStatus.SUCCEEDED, "kind": RunKind.IMPORT, "trigger": RunTrigger.SCHEDULE}
    event: dict[str, Any] = {"district_id": HERE, "port": 22, "phase": ConnectionPhase.LIST}
    event |= {"succeeded": True, "message": "", "host_encrypted": "x", "username_encrypted": "x"}
    common: dict[str, Any] = dict.fromkeys(("progress", "attempt", "report_tries"), 0)
    common |= dict.fromkeys(("late", "accept_shrink", "from_disk", "file_reused"), False)
    common |= {"district_id": HERE, "task_description": "Licences", "run_by": "kmarsh"} | ended
    past = [now - timedelta(days=2, minutes=minutes) for minutes in range(10_000)]
    async with database.write() as session:
        connection = await session.connection()
        times = ("scheduled_start", "ended_at", "created_at")
        runs = [common | dict.fromkeys(times, at) | {"id": uuid4()} for at in past]
        await connection.execute(sa.insert(queries.run), runs)
        events = [event | {"id": uuid4(), "at": at} for at in past]
        await connection.execute(sa.insert(queries.event), events)
        await connection.exec_driver_sql("ANALYZE")
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    assert of(await scrape(api), "certsync_figures_readable") == {(): 1}
    figures = [(statement, values) for statement, values in asked if "count(" in statement]
    assert len(figures) >= 5
    explain, scan = ("EXPLAIN QUERY PLAN", "SCAN") if database.is_sqlite else ("EXPLAIN", "Seq Scan on")
    async with database.engine.connect() as connection:
        for statement, values in figures:
            plan = str((await connection.exec_driver_sql(f"{explain} {statement}", values)).all())
            assert f"{scan} run" not in plan, plan
            assert f"{scan} connection_event" not in plan, plan
