"""The demo's directory, screen and command line, without the service."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from app.demo.data_dir import MARKER, demo_directory
from app.demo.errors import DemoError
from app.demo.screen import SECTIONS, Screen, figure
from app.demo.tour import EXPECTED
from app.demo.world import make_world
from tests.support.processes import ROOT

SUMMARY = {
    "employees_active": 1908,
    "employees_matched": 1428,
    "employees_skipped": 66,
    "employees_missing_certification": 99,
    "employees_expired_certification": 25,
    "certifications_deleted": 0,
    "certifications_imported": 1516,
    "certifications_missing_issue_date": 20,
    "certifications_missing_expiration_date": 10,
    "licenses_conflicting": 15,
    "endorsements_deleted": 0,
    "endorsements_imported": 2300,
    "endorsements_missing_issue_date": 30,
    "endorsements_missing_expiration_date": 12,
    "rows_read": 60000,
    "rows_matched": 2500,
    "rows_other_status": 7800,
    "rows_by_other_status": {"EXP": 7000, "LAP": 800},
    "rows_rejected": 168,
    "rows_not_ours": 49532,
    "rows_same_id_other_name": 8,
    "employees_not_in_file": 414,
}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_the_last_demo_left_is_there_until_the_next(tmp_path: Path) -> None:
    with demo_directory(None) as first:
        assert first == tmp_path / "var" / "demo"
        (first / "service").mkdir()
        (first / "service" / "certsync.db").write_text("")
        (first / "report.pdf").write_text("")
        (first / "link").symlink_to(tmp_path)
    assert (first / "report.pdf").exists()
    with demo_directory(None) as second:
        assert [path.name for path in second.iterdir()] == [MARKER]
    assert tmp_path.exists()


def test_two_demos_at_once_have_a_directory_each() -> None:
    with demo_directory(None) as first, demo_directory(None) as second:
        assert (first.name, second.name) == ("demo", "demo-2")
        with pytest.raises(DemoError, match="Another demo is running"), demo_directory(first):
            pass
    with demo_directory(first):
        pass


def test_files_of_somebody_else_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "certsync.db").write_text("precious")
    with pytest.raises(DemoError, match="not the demo's"), demo_directory(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["certsync.db"]


def test_a_place_where_no_directory_can_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="Cannot use"), demo_directory(tmp_path / "file" / "demo"):
        pass


def screen(width: int, *, terminal: bool) -> tuple[Screen, io.StringIO]:
    written = io.StringIO()
    console = Console(
        file=written, width=width, force_terminal=terminal, highlight=False, _environ={"TERM": "xterm"}
    )
    return Screen(console), written


def test_without_a_terminal_a_phase_is_one_plain_line() -> None:
    plain, written = screen(40, terminal=False)
    with plain.step("Import") as step:
        for phase, percent in [("fetch", 1), ("fetch", 9), ("parse", 20), ("parse", 60), ("report", 99)]:
            step.show(phase, percent)
        step.figures = "1,516 certifications and 2,300 endorsements, which is more than 40 characters"
    lines = written.getvalue().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["fetch,", "parse,", "report,"]
    assert lines[3].endswith("more than 40 characters")
    assert len(lines) == 4
    assert "\x1b" not in written.getvalue()


def test_on_a_terminal_there_is_a_bar_that_goes_away() -> None:
    live, written = screen(100, terminal=True)
    with live.step("Import") as step:
        step.show("parse", 42)
    assert "parse, 42 %" in written.getvalue()
    assert re.search(r"\x1b\[2K +\d\.\d s  Import +\n$", written.getvalue())


def test_a_failed_step_leaves_no_line() -> None:
    plain, written = screen(80, terminal=False)
    with pytest.raises(DemoError), plain.step("Import"):
        raise DemoError("no")
    assert written.getvalue() == ""


def test_the_summary_shows_every_figure() -> None:
    plain, written = screen(80, terminal=False)
    plain.summary(SUMMARY)
    shown = written.getvalue()
    for _, lines in SECTIONS:
        for label, place in lines:
            assert any(
                label in line and line.split()[-1] == f"{figure(SUMMARY, place):,}"
                for line in shown.splitlines()
            )


def test_a_missing_figure_is_named() -> None:
    with pytest.raises(DemoError, match="rows_read"):
        figure({"rows_rejected": 1}, "rows_read")


def test_a_long_path_is_alone_on_its_line() -> None:
    plain, written = screen(20, terminal=False)
    plain.text("/a/very/long/path [red] to/a/report.pdf")
    assert written.getvalue() == "/a/very/long/path [red] to/a/report.pdf\n"


def test_every_figure_of_the_world_is_compared() -> None:
    assert make_world(employees=60, rows=180).figures().keys() == EXPECTED.keys()


def demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.demo", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--employees", "3"), "60 employees or more"), (("--data-dir", "/proc/demo"), "Cannot use")],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: tuple[str, ...], reason: str) -> None:
    with demo(*arguments) as process:
        _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith("The demo failed.")
    assert reason in errors
    assert "Traceback" not in errors
