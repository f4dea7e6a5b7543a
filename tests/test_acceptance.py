"""The whole thing as a user meets it: `certsync up`, then all over HTTP, with a real SFTP server."""

import csv
import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pypdf

from app.demo.world import World, make_world, write_licence_file
from tests.support.openssh import OpenSshServer
from tests.support.service import SECONDS, Service, running_service

TODAY = date(2026, 11, 20)


def load_roster(service: Service, world: World) -> None:
    for job_class in world.job_classes:
        service.call("PUT", f"/job-classes/{job_class['code']}", job_class, 201)
    counts = service.call("POST", "/employees/bulk", {"items": world.employees})
    assert counts == {"created": len(world.employees), "updated": 0, "unchanged": 0}


def connect(service: Service, server: OpenSshServer, directory: str) -> None:
    connection = {
        "host": server.host,
        "port": server.port,
        "username": server.username,
        "private_key": server.private_key,
        "fingerprint": server.fingerprint(),
        "directory": directory,
    }
    saved = service.call("PUT", "/sftp-connection", connection, 201)
    assert saved["has_private_key"]
    assert "private_key" not in saved
    test = service.call("POST", "/sftp-connection/test")
    assert test["ok"], test
    assert [file["name"] for file in test["files"]] == ["Curr_Lic_Eds_End_Limits_20261120.csv"]


def import_now(service: Service, task_id: str) -> Any:
    started = service.http.post(f"/api/v1/tasks/{task_id}/run")
    assert started.status_code == 202, started.text
    assert started.headers["Location"] == f"/api/v1/runs/{started.json()['id']}"
    run = service.ended_run(started.json()["id"])
    assert run["status"] == "succeeded", run["failure"]
    return run


def check_report(service: Service, run: Any) -> None:
    """PDF, JSON and CSV agree to the number."""
    summary = run["summary"]
    report = service.call("GET", f"/runs/{run['id']}/report.json")
    assert report["summary"] == summary
    for name, total in (
        ("skipped", summary["employees_skipped"]),
        ("missing_certification", summary["employees_missing_certification"]),
        ("expired", summary["employees_expired_certification"]),
        ("rejected", summary["rows_rejected"]),
        ("disagreement", summary["licenses_conflicting"]),
    ):
        assert report["lists"][name]["total"] == len(report["lists"][name]["items"]) == total > 0, name
    other_names = report["lists"]["other_name"]["items"]
    assert summary["rows_same_id_other_name"] == sum(item["rows"] for item in other_names) > 0

    skipped = list(csv.DictReader(io.StringIO(service.call("GET", f"/runs/{run['id']}/skipped.csv").text)))
    listed = report["lists"]["skipped"]["items"]
    assert {row["employee_number"] for row in skipped} == {item["employee_number"] for item in listed}
    assert len(skipped) == sum(len(item["candidates"]) for item in listed)
    rejected = csv.DictReader(io.StringIO(service.call("GET", f"/runs/{run['id']}/rejected.csv").text))
    assert len(list(rejected)) == summary["rows_rejected"]

    pdf = service.call("GET", f"/runs/{run['id']}/report.pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.content)).pages)
    assert f"Skipped employees ({summary['employees_skipped']:,})" in " ".join(text.split())
    assert f"{summary['certifications_imported']:,}" in text
    assert run["file"]["sha256"] in "".join(text.split())


def check_world(world: World, run: Any) -> None:
    summary = run["summary"]
    assert summary["rows_read"] == world.rows
    parts = ("rows_rejected", "rows_other_status", "rows_not_ours", "rows_matched")
    assert summary["rows_read"] == sum(summary[part] for part in parts)
    assert summary["rows_other_status"] == sum(summary["rows_by_other_status"].values())
    active = [person for person in world.employees if person["status"] == "active"]
    assert run["summary"]["employees_active"] == len(active)


@contextmanager
def ready_to_import(data_dir: Path, server: OpenSshServer) -> Iterator[tuple[Service, World, str]]:
    """Start a service that has a roster, a connection to a server with one file, and a task."""
    world = make_world(seed=7, employees=300, rows=4000, today=TODAY)
    directory = server.files / data_dir.name
    directory.mkdir(mode=0o755)
    write_licence_file(world, directory).chmod(0o644)
    with running_service(data_dir) as service:
        service.login("--user", "kmarsh", "--role", "admin")
        load_roster(service, world)
        connect(service, server, str(directory))
        task = {"description": "Nightly licences", "status": "inactive"}
        yield service, world, service.call("POST", "/tasks", task, 201)["id"]


def test_import_from_sftp_server_to_replaced_records_and_pdf(
    tmp_path: Path, openssh_server: OpenSshServer
) -> None:
    with ready_to_import(tmp_path, openssh_server) as (service, world, task_id):
        first = import_now(service, task_id)
        assert (first["run_by"], first["trigger"], first["task_id"]) == ("kmarsh", "run_now", task_id)
        assert first["progress"] == 100
        assert first["file"]["reused"] is False
        check_world(world, first)
        check_report(service, first)
        held = service.call("GET", "/certifications?limit=200")["items"]
        assert len(held) == min(200, first["summary"]["certifications_imported"])

        second = import_now(service, task_id)
        for kind in ("certifications", "endorsements"):
            imported = first["summary"][f"{kind}_imported"]
            again = [second["summary"][f"{kind}_{what}"] for what in ("deleted", "imported", "unchanged")]
            assert again == [imported] * 3
        assert service.call("GET", "/certifications?limit=200")["items"] == held

        assert [file["name"] for file in service.call("GET", "/import-files")["items"]] == [world.file_name]
        events = service.call("GET", "/connection-events")["items"]
        assert [event["action"] for event in events] == ["run", "run", "test", "saved"]
        assert {event["outcome"] for event in events} == {"success"}
        assert [run["id"] for run in service.call("GET", "/runs")["items"]] == [second["id"], first["id"]]

        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(SECONDS) == 0
    log = service.log.read_text()
    assert "run_succeeded" in log
    assert openssh_server.private_key not in log
    long_names = {person["last_name"] for person in world.employees if len(person["last_name"]) > 6}
    assert not [name for name in long_names if name in log]


def test_run_goes_on_after_everything_was_killed(tmp_path: Path, openssh_server: OpenSshServer) -> None:
    with ready_to_import(tmp_path, openssh_server) as (service, _, task_id):
        run_id = service.call("POST", f"/tasks/{task_id}/run", status=202)["id"]
        service.process.kill()
        service.process.wait()
    with running_service(tmp_path) as service:
        service.login("--user", "kmarsh", "--role", "admin")
        assert service.ended_run(run_id)["status"] == "succeeded"
