"""The PDF: figures are the data's, nothing is executed or fetched, and the child never outlives us."""

import asyncio
import contextlib
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdf
import pytest

from app.pipeline import pdf
from app.pipeline.pdf import PdfFailed, render_pdf, report_html
from app.pipeline.render_pdf import MEMORY_LIMIT
from tests.support import report_data
from tests.support.pdf_text import text_of
from tests.support.processes import ROOT, alive, command_of, until, until_async

ENDLESS = {"skipped": 6_000}  # a minute of rendering
PARENT = f"""
import asyncio
from pathlib import Path
from app.pipeline.pdf import render_pdf
from tests.support import report_data
from tests.support.pdf_text import text_of

report = report_data.report(**{ENDLESS})
asyncio.run(render_pdf(report, Path("never.pdf"), timeout=600, max_rows=6_000))
"""


def renderers(parent: int) -> list[int]:
    """Return the living children of a process that render a PDF; before its exec one is like its parent."""
    pids = [
        int(pid)
        for task in Path(f"/proc/{parent}/task").glob("*/children")
        for pid in task.read_text().split()
    ]
    return [pid for pid in pids if alive(pid) and b"app.pipeline.render_pdf" in command_of(pid)]


def has_read_all(pid: int) -> bool:
    """Tell whether a child has the whole of an endless document: then its memory shows it."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") > 100 * 1024**2


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_figures_are_those_of_the_data(tmp_path: Path) -> None:
    report = report_data.report()
    text = await text_of(report, tmp_path / "report.pdf")
    summary = report["summary"]
    pairs = {
        "Deleted held before the import": "deleted",
        "Of these, not imported again": "removed",
        "Imported held after the import": "imported",
        "Of these, unchanged": "unchanged",
        "Of these, changed other dates, status or text than before": "changed",
        "Of these, added not held before": "added",
        "Without issue date": "missing_issue_date",
        "Without expiration date": "missing_expiration_date",
    }
    expected = [
        f"{label} {summary[f'certifications_{key}']:,} {summary[f'endorsements_{key}']:,}"
        for label, key in pairs.items()
    ]
    expected += [
        "Active employees 1,987",
        "Found in the state's file 1,803",
        "Skipped: ID or name disagrees 41",
        "Not in the state's file 143",
        "Missing certification data 23",
        "With expired certifications 17",
        "Matched to an active employee 3,410",
        "Other status: EXP not imported 6,214",
        "Other status: SUS not imported 12",
        "Rejected not readable 38",
        "Not ours nobody here matches 50,016",
        "Rows read the sum of the above 60,000",
        "23 employees without the certification that the job class requires",
        report["file"]["sha256"],
        report["file"]["name"],
        "12.3 MB (12,345,678 bytes)",
        "Run by pat.hr (scheduled)",
        "Started Nov 22, 2026, 2:00:03 AM EST",
        "Ended Nov 22, 2026, 2:01:15 AM EST",
        "Took 1 minute and 12 seconds",
        "America/New_York",
        f"Run {report['run']['id']}",
        "Page 1 of 2",
    ]
    assert [line for line in expected if line not in text] == []


async def test_every_list_is_printed_with_what_disagrees(tmp_path: Path) -> None:
    text = await text_of(report_data.report(**dict.fromkeys(report_data.MAKERS, 1)), tmp_path / "report.pdf")
    expected = [
        "Skipped employees (1)",
        "E10000 O'Brien-Smith, Mary Kate ID 400100 Formername, Mary Kate ID 400100 Last name",
        "E10000 O'Brien-Smith, Mary Kate TCH-HS",
        "E10000 O'Brien-Smith, Mary Kate L-60000 Level II Professional Jun 30, 2026",
        "E10000 400100 O'Brien-Smith, Mary Kate Maidenname, Pat 2",
        "E10000 Certification L-60000 changed hr.admin Nov 19, 2026, 10:04:05 AM EST",
        "E10000 O'Brien-Smith, Mary Kate Endorsement L-60000 2-05 Issue date and expiration date",
        "E10000 L-60000 Level I Professional 2 ACT, issued blank, expires Jun 30, 2029",
        "1000 LicenseExpirationDate 13/45/2026 is not a date in any of the known formats",
    ]
    assert [line for line in expected if line not in text] == []
    assert "None." not in text


async def test_accessible_private_and_whole(tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    target.write_text("an older report")
    await render_pdf(report_data.report(), target, timeout=60, max_rows=500)
    reader = pypdf.PdfReader(target)
    root: Any = reader.trailer["/Root"]
    assert reader.metadata
    assert reader.metadata.title == "Teacher licence import: summary report"
    assert (root["/Lang"], root["/MarkInfo"]["/Marked"]) == ("en-US", True)
    assert target.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["report.pdf"]


async def test_failed_run_says_that_nothing_changed(tmp_path: Path) -> None:
    text = await text_of(report_data.failed_report(rejected=1), tmp_path / "report.pdf")
    assert "The import failed. Nothing was changed." in text
    assert "Error code: sftp_fingerprint_mismatch" in text
    assert "No user id or password was sent." in text
    assert "Rejected rows (1)" in text
    assert "Skipped employees" not in text  # nobody looked
    assert "Imported" not in text


def test_nothing_to_report_says_so() -> None:
    report = report_data.report()
    figures = ("employees_skipped", "employees_missing_certification", "employees_expired_certification")
    report["summary"] |= dict.fromkeys(figures, 0)
    html = report_html(report, 500)
    assert "Nothing needs attention" in html
    assert html.count("<p>None.</p>") == len(report_data.MAKERS)


def printed(html: str) -> int:
    return html.count('<th scope="row">E1') + html.count('<th scope="row" rowspan')


@pytest.mark.parametrize("max_rows", [1, 8, 100, 500])
def test_rows_over_all_lists_are_limited(max_rows: int) -> None:
    counts = dict.fromkeys(report_data.MAKERS, 200) | {"rejected": 0}
    assert printed(report_html(report_data.report(**counts), max_rows)) == max_rows


def test_a_long_list_does_not_starve_the_others() -> None:
    report = report_data.report(skipped=500, missing_certification=60, expired=500)
    report["lists"]["skipped"]["total"] = 5_431
    html = report_html(report, 300)
    # Half of 300 goes to three lists evenly; what is left goes by importance: to skipped.
    assert "Showing 200 of 5,431. The complete list is in skipped.csv." in html
    assert "Showing 50 of 60. The complete list is in report.json." in html
    assert "Showing 50 of 500. The complete list is in report.json." in html


def test_candidates_count_as_rows_and_the_others_are_told() -> None:
    report = report_data.report()
    items = [{**report_data.skipped(index, 5), "more_candidates": 7} for index in range(4)]
    report["lists"]["skipped"] = report_data.listing(items)
    html = report_html(report, 12)
    assert "Showing 2 of 4." in html
    assert html.count("and 7 more in the file") == 2


def test_markup_is_text_and_characters_are_visible() -> None:
    report = report_data.report(skipped=1, rejected=1)
    report["lists"]["skipped"]["items"][0] |= {
        "last_name": "<script>alert(1)</script>",
        "first_name": "{{7*7}}",
    }
    report["lists"]["rejected"]["items"][0]["value"] = "a\u202eb\x00c\nd" + "z" * 1_000_000
    report["run"]["run_by"] = '"><img src=x>'
    html = report_html(report, 500)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{7*7}}" in html
    assert "a\ufffdb\ufffdc dzz" in html
    assert "<script" not in html
    assert "<img" not in html
    assert len(html) < 50_000


def test_pages_of_rare_characters_are_cut_short() -> None:
    report = report_data.report(rejected=50)
    for index, item in enumerate(report["lists"]["rejected"]["items"]):
        item["value"] = "".join(chr(0x4E00 + 50 * index + offset) for offset in range(50))
    html = report_html(report, 500)
    assert len({character for character in html if character >= "\u4e00" and character != "\ufffd"}) == 500


@pytest.fixture
def requests() -> Iterator[tuple[int, list[str]]]:
    """The port of a web server, and the paths it was asked for."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, seen
        server.shutdown()
        thread.join()


def test_child_fetches_nothing_even_if_markup_came_through(requests: tuple[int, list[str]]) -> None:
    port, seen = requests
    html = (
        f"<html lang=en><title>x</title><link rel=attachment href='file:///etc/passwd'>"
        f"<link rel=stylesheet href=http://127.0.0.1:{port}/a.css><img src=http://127.0.0.1:{port}/b.png>"
        "<img src='file:///etc/passwd'>hello"
    )
    command = [*pdf._CHILD, str(os.getpid())]
    done = subprocess.run(command, input=html.encode(), capture_output=True, check=True, cwd=ROOT)
    assert seen == []
    assert done.stdout.startswith(b"%PDF")
    assert b"/EmbeddedFile" not in done.stdout


async def test_too_slow_is_killed_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PdfFailed, match=r"not ready within 0\.2 seconds.*PDF_TIMEOUT"):
        await render_pdf(report_data.report(**ENDLESS), tmp_path / "report.pdf", timeout=0.2, max_rows=6_000)
    assert renderers(os.getpid()) == []
    assert names(tmp_path) == []


async def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    report = report_data.report(**ENDLESS)
    task = asyncio.create_task(render_pdf(report, tmp_path / "report.pdf", timeout=600, max_rows=6_000))
    await until_async(lambda: renderers(os.getpid()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert renderers(os.getpid()) == []
    assert names(tmp_path) == []


def test_child_is_limited_and_dies_with_its_parent(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CERTSYNC_SECRET_KEY": "hidden"}
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment) as parent:
        try:
            until(lambda: renderers(parent.pid), limit=60)
            [child] = renderers(parent.pid)
            until(lambda: has_read_all(child), limit=60)  # or it would end soon for want of input
            assert f" {MEMORY_LIMIT} " in Path(f"/proc/{child}/limits").read_text()
            assert os.getpriority(os.PRIO_PROCESS, child) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
            assert b"hidden" not in Path(f"/proc/{child}/environ").read_bytes()
        finally:
            parent.kill()
        try:
            until(lambda: not alive(child))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first >&2; echo it broke >&2; exit 3", "exited with code 3: it broke"),
        ("exit 4", r"exited with code 4\."),
        ("kill -SEGV $$", r"was ended by signal 11 \(Segmentation fault\)\."),
    ],
)
async def test_ending_of_the_child_is_told(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "_CHILD", ("/bin/sh", "-c", script))
    with pytest.raises(PdfFailed, match=reason):
        await render_pdf(report_data.report(), tmp_path / "report.pdf", timeout=60, max_rows=500)
    assert names(tmp_path) == []


async def test_unwritable_target_is_told(tmp_path: Path) -> None:
    with pytest.raises(PdfFailed, match=r"could not be written to .*/missing: No such file or directory\."):
        await render_pdf(report_data.report(), tmp_path / "missing" / "x.pdf", timeout=60, max_rows=500)
