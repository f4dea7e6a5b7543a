"""The console script, run as users run it: a process of its own."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jwt
import pytest
import typer

from app.cli.common import parse_span
from app.demo.world import make_world, write_licence_file
from tests.support.commands import certsync, refused, succeeded
from tests.support.processes import ROOT

GOLDEN = ROOT / "tests" / "golden"
SCOPES = ("--scope", "employees:write", "--scope", "records:read", "--scope", "connection:write")


@pytest.fixture
def instance(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A data directory with the schema and the newcomer's district."""
    (tmp_path / "certsync.db").write_bytes(migrated_sqlite.read_bytes())
    assert certsync(tmp_path, "migrate").returncode == 0
    return tmp_path


def test_help_names_every_command(tmp_path: Path) -> None:
    text = succeeded(certsync(tmp_path, "--help"))
    for command in [
        "up",
        "serve",
        "worker",
        "migrate",
        "token",
        "inspect",
        "import",
        "copy-to",
        "backup",
        "openapi",
        "districts",
        "employees",
        "job-classes",
        "keys",
    ]:
        assert f" {command} " in text
    assert list(tmp_path.iterdir()) == []


def test_migrate_makes_the_default_district_once(instance: Path) -> None:
    assert "up to date" in succeeded(certsync(instance, "migrate"))
    assert succeeded(certsync(instance, "districts", "list")).count("default") == 1


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["token", "--user", "a", "--role", "admin"]])
def test_old_schema_says_what_to_type(tmp_path: Path, command: list[str]) -> None:
    refused(certsync(tmp_path, *command), "certsync migrate")


def test_token_stands_alone_on_the_last_line(instance: Path) -> None:
    arguments = ["token", "--user", "kmarsh", "--role", "hr", "--ttl", "30m"]
    first = succeeded(certsync(instance, *arguments)).splitlines()[-1]
    claims = jwt.decode(first, options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["district"]) == ("kmarsh", "hr", "default")
    assert claims["exp"] - claims["iat"] == 30 * 60


def test_token_for_an_unknown_district_is_refused(instance: Path) -> None:
    result = certsync(instance, "token", "--user", "a", "--role", "admin", "--district", "nowhere")
    refused(result, "districts add")


@pytest.mark.parametrize(
    ("text", "span"),
    [("30m", timedelta(minutes=30)), ("24h", timedelta(days=1)), ("90d", timedelta(days=90))],
)
def test_lifetimes(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1", "1w", "1.5h", "99999d", "²h", "9" * 99 + "d"])
def test_other_lifetimes_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="30m, 24h or 90d"):
        parse_span(text)


def test_districts_are_added_once_and_checked(instance: Path) -> None:
    added = succeeded(
        certsync(
            instance, "districts", "add", "south", "--name", "South [SU]", "--timezone", "America/Chicago"
        )
    )
    assert "South [SU]" in added
    assert "South [SU]" in succeeded(certsync(instance, "districts", "list"))
    refused(certsync(instance, "districts", "add", "south"), "already")
    wrong = certsync(instance, "districts", "add", "../up", "--timezone", "Mars/Base", "--state", "ZZ")
    refused(wrong, "  id: ", "  timezone: ", "  state: ")


def test_districts_are_paused_and_resumed(instance: Path) -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert today not in succeeded(certsync(instance, "districts", "list"))
    succeeded(certsync(instance, "districts", "pause", "default"))
    assert today in succeeded(certsync(instance, "districts", "list"))
    succeeded(certsync(instance, "districts", "resume", "default"))
    assert today not in succeeded(certsync(instance, "districts", "list"))
    refused(certsync(instance, "districts", "pause", "nowhere"), "districts add")


def test_a_district_reads_its_files_by_a_layout_of_its_own(instance: Path) -> None:
    layout = instance / "own.toml"
    layout.write_text((ROOT / "app" / "layouts" / "vt_alis.toml").read_text().replace('"ACT"', '"OK"'))
    assert "of its own" in succeeded(certsync(instance, "districts", "layout", "default", str(layout)))
    header = "EducatorID,LastName,FirstName,LicenseNumber,LicenseStatus"
    file = instance / "Curr_Lic_Eds_End_Limits_20261120.csv"
    file.write_text(f"{header}\n1,Roy,Luc,L1,OK\n2,Poe,Ann,L2,ACT\n")
    shown = succeeded(certsync(instance, "import", str(file)))
    assert re.search(r"rows other status\W+1\b", shown)
    layout.write_text("fields = 3")
    refused(certsync(instance, "districts", "layout", "default", str(layout)), "layout of district default")
    refused(certsync(instance, "districts", "layout", "nowhere"), "districts add")
    assert "of its state" in succeeded(certsync(instance, "districts", "layout", "default"))


def test_a_token_for_operators_is_for_every_district(instance: Path) -> None:
    token = succeeded(certsync(instance, "token", "--user", "watch", "--role", "ops")).splitlines()[-1]
    assert jwt.decode(token, options={"verify_signature": False})["district"] == "*"


def test_what_is_written_is_private(tmp_path: Path) -> None:
    data_dir = tmp_path / "new"
    succeeded(certsync(data_dir, "migrate"))
    assert data_dir.stat().st_mode & 0o077 == 0
    assert [path for path in data_dir.rglob("*") if path.stat().st_mode & 0o077] == []


def test_what_is_typed_into_another_command_is_listed_whole(instance: Path) -> None:
    """80 columns is what a pipe has, too."""
    district, user = "a" * 31 + "-" + "b" * 31, "somebody-with-a-long-name@district.example"
    of = ("--district", district)
    succeeded(certsync(instance, "districts", "add", district, "--name", "The " + "long" * 9))
    succeeded(certsync(instance, "service-tokens", "create", "erp", *SCOPES, *of, "--user", user))
    for columns in ("80", "20"):
        districts, tokens, keys = (
            succeeded(certsync(instance, command, "list", *more, COLUMNS=columns))
            for command, more in (("districts", ()), ("service-tokens", of), ("keys", ()))
        )
        assert "…" not in districts + tokens + keys
        assert district in districts
        assert re.search(r" [0-9a-f]{8} ", keys)
        [token_id] = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", tokens)
    assert "revoked" in succeeded(certsync(instance, "service-tokens", "revoke", token_id, *of))
    assert "…" not in succeeded(certsync(instance, "audit", "list", *of, COLUMNS="80"))


EMPLOYEES = "employee_number,state_staff_id,last_name,first_name,status,job_class\n"


def test_employees_are_loaded_from_csv(instance: Path) -> None:
    file = instance / "employees.csv"
    file.write_text(
        EMPLOYEES + '1,007,"De La Cruz",Ana,active,TEACHER\n2,,Roy,Luc,terminated,\n', encoding="utf-8-sig"
    )
    assert "2 created, 0 updated, 0 unchanged" in succeeded(
        certsync(instance, "employees", "load", str(file))
    )
    assert "0 created, 0 updated, 2 unchanged" in succeeded(
        certsync(instance, "employees", "load", str(file))
    )


def test_every_fault_of_a_roster_is_located_and_nothing_loaded(instance: Path) -> None:
    file = instance / "employees.csv"
    file.write_text(EMPLOYEES + "1,,Roy,Luc,active,\n2,,,Luc,gone,\n1,,Roy,Luc,active,\n")
    result = certsync(instance, "employees", "load", str(file))
    refused(
        result,
        "3 faults",
        "line 3 last_name",
        "line 3 status",
    )
    file.write_text(EMPLOYEES + "1,,Roy,Luc,active,\n1,,Roy,Luc,active,\n")
    refused(certsync(instance, "employees", "load", str(file)), "line 3 employee_number: is also in line 2")
    file.write_text(EMPLOYEES + "1,,Roy,Luc,active,,,\n")
    refused(certsync(instance, "employees", "load", str(file)), "line 2: has more cells than the header")
    file.write_text("employee_number,last_name\n1,Roy\n")
    refused(certsync(instance, "employees", "load", str(file)), "first_name, status")
    file.write_text(EMPLOYEES + "1,,Roy,Luc,active,\n")
    assert "1 created" in succeeded(certsync(instance, "employees", "load", str(file)))


def test_job_classes_are_loaded_from_csv(instance: Path) -> None:
    file = instance / "jobs.csv"
    file.write_text("code,title,certification_required\nTEACHER,Teacher,true\nDRIVER,Driver,no\n")
    assert "2 job classes" in succeeded(certsync(instance, "job-classes", "load", str(file)))
    file.write_text("code,title,certification_required\nTEACHER,Teacher,perhaps\n")
    refused(certsync(instance, "job-classes", "load", str(file)), "line 2 certification_required")


def test_inspect_shows_how_a_file_is_read(tmp_path: Path) -> None:
    world = make_world(seed=3, employees=100, rows=500, today=date(2026, 11, 20))
    text = succeeded(certsync(tmp_path, "inspect", str(write_licence_file(world, tmp_path))))
    for shown in ("yes, 2026-11-20", "comma", "utf-8", "EducatorID", "Rejected rows", "500"):
        assert shown in text


def test_inspect_of_a_web_page_says_so(tmp_path: Path) -> None:
    (tmp_path / "page.csv").write_text("<!doctype html><html><body>Sign in</body></html>")
    refused(certsync(tmp_path, "inspect", str(tmp_path / "page.csv")), "web page")


def test_import_of_a_local_file_ends_with_the_path_of_the_pdf(instance: Path) -> None:
    world = make_world(seed=3, employees=100, rows=500, today=date(2026, 11, 20))
    roster = instance / "employees.csv"
    columns = list(world.employees[0])
    lines = [",".join(f'"{person[name] or ""}"' for name in columns) for person in world.employees]
    roster.write_text("\n".join([",".join(columns), *lines]))
    succeeded(certsync(instance, "employees", "load", str(roster)))
    path = write_licence_file(world, instance)
    text = succeeded(certsync(instance, "import", str(path), "--user", "kmarsh"))
    assert "imported" in text
    pdf = Path(text.splitlines()[-1])
    assert pdf.is_absolute()
    assert pdf.read_bytes().startswith(b"%PDF")


def test_preview_shows_the_figures_and_changes_nothing(instance: Path) -> None:
    roster, file = instance / "employees.csv", instance / "Curr_Lic_Eds_End_Limits_20261120.csv"
    roster.write_text(EMPLOYEES + "1,7,Roy,Luc,active,\n")
    succeeded(certsync(instance, "employees", "load", str(roster)))
    file.write_text("EducatorID,LastName,FirstName,LicenseNumber,LicenseStatus\n7,Roy,Luc,L1,ACT\n")
    for _ in range(2):  # the first leaves nothing behind
        shown = succeeded(certsync(instance, "import", str(file), "--preview"))
        assert re.search(r"certifications added\W+1\b", shown)
        assert "This was a preview. Nothing was changed." in shown
        assert Path(shown.splitlines()[-1]).read_bytes().startswith(b"%PDF")
    shown = succeeded(certsync(instance, "import", str(file)))
    assert re.search(r"certifications added\W+1\b", shown)
    assert "Nothing was changed." not in shown


def test_import_that_fails_says_why_and_exits_with_1(instance: Path) -> None:
    file = instance / "Curr_Lic_Eds_End_Limits_20261120.csv"
    file.write_text("EducatorID,LastName\n1,Roy\n")
    result = certsync(instance, "import", str(file))
    assert result.returncode == 1
    assert "file_missing_columns" in result.stdout


def test_openapi_is_printed(tmp_path: Path) -> None:
    assert json.loads(succeeded(certsync(tmp_path, "openapi")))["info"]["title"] == "certsync"


def test_wrong_setting_is_one_line(tmp_path: Path) -> None:
    refused(certsync(tmp_path, "migrate", CERTSYNC_RETAINED_FILES="0"), "CERTSYNC_RETAINED_FILES")
    refused(
        certsync(tmp_path, "migrate", CERTSYNC_DATABASE_URL="postgresql://127.0.0.1:1/x"), "cannot be opened"
    )
