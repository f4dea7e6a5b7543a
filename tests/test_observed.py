"""A whole service that is watched by every means: what it tells, and that it names nobody.

Everything that it says is kept: its log at DEBUG, its metrics and the worker's, and its traces, as they
arrive at a collector. Meanwhile people are looked for by name, edits are refused, and logins fail.
"""

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest

from app.demo.licences import HEADER
from app.demo.world import World, licence_rows, make_world, write_licence_file
from tests.support.collector import Collector, attributes, collecting
from tests.support.openssh import OpenSshServer, free_port
from tests.support.service import SECONDS, Service, running_service

pytestmark = pytest.mark.timeout(360)

HOST = "LoCaLhOsT"
"""The tests' server under a name that nothing else bears."""
WRONG_PASSWORD = "Gr4nite-and-maple"
REQUEST_ID = "ask-for-me-4711"
PHASES = ["fetch", "parse", "match", "replace", "report"]


@dataclass
class Observed:
    """What came of it."""

    world: World
    secrets: list[str]
    run: dict[str, Any]
    log: list[dict[str, Any]]
    metrics: str
    worker_metrics: str
    collector: Collector
    employees: str

    @property
    def said(self) -> dict[str, str]:
        log = "\n".join(json.dumps(line, ensure_ascii=False) for line in self.log)
        return {"log": log, "metrics": self.metrics + self.worker_metrics, "traces": self.collector.text}

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == event]


def people(world: World) -> Iterator[str]:
    """Every name and every number of a person, of the roster and of the licence file."""
    for person in world.employees:
        names = [value for key, value in person.items() if "name" in key]
        yield from (
            str(value) for value in (*names, person["employee_number"], person["state_staff_id"]) if value
        )
    personal = [HEADER.index(column) for column in ("EducatorID", "LastName", "FirstName", "LicenseNumber")]
    for row in licence_rows(world):
        yield from (row[column] for column in personal if row[column])


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w'-]+", text))


def go_about(service: Service, world: World, server: OpenSshServer, directory: str) -> dict[str, Any]:
    """Do what people and machines do in a week; return the run that imported."""
    for job_class in world.job_classes:
        service.call("PUT", f"/job-classes/{job_class['code']}", job_class, 201)
    service.call("POST", "/employees/bulk", {"items": world.employees})
    connection = {
        "host": HOST,
        "port": server.port,
        "username": server.username,
        "private_key": server.private_key,
        "fingerprint": server.fingerprint(),
        "directory": directory,
    }
    service.call("PUT", "/sftp-connection", connection, 201)
    task = service.call("POST", "/tasks", {"description": "Licences", "status": "inactive"}, 201)["id"]
    headers = {"X-Request-ID": REQUEST_ID}
    started = service.http.post(f"/api/v1/tasks/{task}/run", headers=headers)
    run: dict[str, Any] = service.ended_run(started.json()["id"])
    assert run["status"] == "succeeded", run["failure"]

    person = world.employees[0]
    number = person["employee_number"]
    service.call("GET", f"/employees?q={person['last_name']}")
    service.call("GET", f"/employees/{number}")
    service.call("PUT", f"/employees/{number}", {**person, "status": person["last_name"]}, 422)
    service.call("GET", f"/nobody/{person['last_name']}", status=404)
    held = service.call("GET", "/certifications?limit=1")["items"][0]
    service.call("PATCH", f"/certifications/{held['id']}", {"expiration_date": "2031-01-01"})

    wrong_login = {"password": WRONG_PASSWORD, "private_key": None}
    wrong_server = {"password": None, "fingerprint": "SHA256:" + "A" * 43}
    for change in (wrong_login, wrong_server):
        service.call("PUT", "/sftp-connection", connection | change)
        failed = service.ended_run(service.call("POST", f"/tasks/{task}/run", status=202)["id"])
        assert failed["failure"]["code"] in {"sftp_auth_failed", "sftp_fingerprint_mismatch"}
        assert not service.call("POST", "/sftp-connection/test")["ok"]
    return run


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, openssh_server: OpenSshServer) -> Observed:
    world = make_world(seed=11, employees=120, rows=1500, today=date(2026, 11, 20))
    for person in world.employees:
        person["employee_number"] = f"NR-{person['employee_number']}"
    directory = openssh_server.new_directory()
    write_licence_file(world, directory).chmod(0o644)
    port = free_port()
    with collecting() as collector:
        variables = {
            "CERTSYNC_LOG_LEVEL": "DEBUG",
            "CERTSYNC_LOG_FORMAT": "json",
            "CERTSYNC_WORKER_METRICS_PORT": str(port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        with running_service(tmp_path_factory.mktemp("observed"), **variables) as service:
            service.login("--user", "u-17", "--role", "admin")
            run = go_about(service, world, openssh_server, str(directory))
            employees = service.call("GET", "/employees?limit=200")
            service.login("--user", "prometheus", "--role", "ops")
            metrics = service.http.get("/metrics").text
            worker_metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(SECONDS) == 0
        lines = service.log.read_text().splitlines()
    secrets = [openssh_server.username, WRONG_PASSWORD, HOST, *openssh_server.private_key.split()[8:12]]
    log = [json.loads(line) for line in lines if line.startswith("{")]
    return Observed(world, secrets, run, log, metrics, worker_metrics, collector, json.dumps(employees))


@pytest.mark.parametrize("where", ["log", "metrics", "traces"])
def test_nothing_that_is_said_names_a_person_or_a_login(observed: Observed, where: str) -> None:
    names = set(people(observed.world))
    assert len(names) > 500
    assert len(words(observed.employees) & names) > 100, "names would be found"
    said = observed.said[where]
    assert len(said) > 5000
    assert words(said) & names == set()
    assert [secret for secret in observed.secrets if secret in said] == []


def test_the_requests_id_is_in_every_line_of_its_run(observed: Observed) -> None:
    run_id = observed.run["id"]
    lines = [line for line in observed.log if line.get("run_id") == run_id]
    assert {"run_started", "file_fetched", "run_succeeded"} <= {line["event"] for line in lines}
    for line in lines:
        assert (line["request_id"], line["district"]) == (REQUEST_ID, "default"), line
    [request] = [line for line in observed.told("request") if line["request_id"] == REQUEST_ID]
    assert request["route"] == "/api/v1/tasks/{task_id}/run"
    assert {line["trace_id"] for line in lines} == {request["trace_id"]}


def test_the_run_goes_on_with_the_trace_of_its_request(observed: Observed) -> None:
    collector = observed.collector
    [run] = [
        span for span in collector.named("run") if attributes(span)["certsync.run.id"] == observed.run["id"]
    ]
    trace = [span for span in collector.spans if span.trace_id == run.trace_id]
    [request] = [span for span in trace if span.name == "POST /api/v1/tasks/{task_id}/run"]
    assert run.parent_span_id == request.span_id
    assert attributes(request)["http.response.status_code"] == 202
    assert attributes(run) == {
        "certsync.district": "default",
        "certsync.run.id": observed.run["id"],
        "certsync.run.kind": "import",
        "certsync.run.trigger": "run_now",
        "certsync.run.attempt": 1,
        "certsync.run.status": "succeeded",
    }
    children = sorted(
        (span for span in trace if span.parent_span_id == run.span_id),
        key=lambda span: span.start_time_unix_nano,
    )
    assert [span.name for span in children] == PHASES[:-1]
    [report] = [span for span in trace if span.name == PHASES[-1]]
    assert report.parent_span_id == request.span_id, "whoever has time makes it, after the run"
    [lock] = [span for span in trace if span.name == "lock"]
    assert lock.parent_span_id == children[3].span_id


def test_a_failed_run_is_an_error_with_its_code_and_no_message(observed: Observed) -> None:
    failed = [span for span in observed.collector.named("run") if "certsync.failure.code" in attributes(span)]
    codes = {attributes(span)["certsync.failure.code"] for span in failed}
    assert "sftp_fingerprint_mismatch" in codes
    for span in failed:
        assert (span.status.code, span.status.message, list(span.events)) == (2, "", [])


def test_probes_are_not_traced(observed: Observed) -> None:
    assert not [
        span.name for span in observed.collector.spans if "health" in span.name or "metrics" in span.name
    ]


def test_the_deployments_metrics_tell_of_failures_and_of_the_files_age(observed: Observed) -> None:
    assert 'certsync_sftp_failures{failure_code="sftp_fingerprint_mismatch"} 2.0' in observed.metrics
    assert 'certsync_newest_file_age_seconds{district="default"}' in observed.metrics
    assert "certsync_workers 1.0" in observed.metrics


def test_the_workers_metrics_tell_of_its_runs(observed: Observed) -> None:
    shown, summary = observed.worker_metrics, observed.run["summary"]
    assert 'certsync_run_duration_seconds_count{kind="import",status="succeeded"} 1.0' in shown
    assert 'certsync_run_duration_seconds_count{kind="import",status="failed"} 2.0' in shown
    assert "certsync_lock_window_seconds_count 1.0" in shown
    assert "certsync_run_wait_seconds_count 3.0" in shown
    for phase in PHASES:
        assert f'certsync_run_phase_duration_seconds_count{{phase="{phase}"}}' in shown
    for outcome in ("matched", "not_ours", "other_status", "rejected"):
        rows = float(summary[f"rows_{outcome}"])
        assert f'certsync_rows_total{{kind="import",outcome="{outcome}"}} {rows}' in shown
