"""What others wrote, in what we write: spreadsheets, searches, PDFs."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from app.constants import FindingKind, RunKind
from app.main import create_app
from app.models import District, RunFinding
from app.pipeline.report_html import report_html
from app.settings import Settings
from tests.support import report_data
from tests.support.api import HERE, Api
from tests.support.imports import DISTRICT, TIMEZONE
from tests.support.lived_in import live_in
from tests.support.processes import ROOT
from tests.support.runs import ended_run

DOCUMENT = create_app(Settings()).openapi()
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
FORMULAS = [f"{start}cmd|' /C calc'!A0" for start in STARTS]


def findings(text: str) -> dict[str, tuple[FindingKind, dict[str, Any]]]:
    """Of each export, a line that has the text wherever a text can be."""
    person = dict.fromkeys(("employee_number", "last_name", "first_name"), text)
    record = dict.fromkeys(("id", "record", "license_number", "license_type", "code", "status"), text)
    record |= dict.fromkeys(("description", "limitation", "issue_date", "expiration_date"), text)
    edited: dict[str, Any] = {**record, "manual_edit": {"by": text, "at": text}, "primary": True}
    candidate = {"educator_id": text, "last_name": text, "first_name": text, "disagrees": [text]}
    skipped = {**person, "state_staff_id": text, "disagrees": [text], "candidates": [candidate]}
    rejected = {"line": 7, "column": text, "value": text, "reason": text}
    changed = {**edited, "fields": {text: {"old": text, "new": text}}}
    change = {**person, "added": [edited], "changed": [changed], "removed": [edited]}
    return {
        "skipped.csv": (FindingKind.SKIPPED, {**skipped, "more_candidates": 0}),
        "rejected.csv": (FindingKind.REJECTED, rejected),
        "changes.csv": (FindingKind.CHANGE, change),
    }


async def test_no_cell_of_any_csv_is_a_formula(api: Api) -> None:
    run = ended_run(kind=RunKind.PREVIEW, attempt=1)
    await api.add(run)
    for text in FORMULAS:
        await api.add(
            *(
                RunFinding(district_id=HERE, run_id=run.id, attempt=1, kind=kind, data=data)
                for kind, data in findings(text).values()
            )
        )
    written = [
        path
        for path, methods in DOCUMENT["paths"].items()
        if "text/csv" in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    ]
    assert {path.rpartition("/")[2] for path in written} == set(findings("")), "give the new one a line above"
    for path in written:
        text = (await api.get(path.removeprefix("/api/v1").format(run_id=run.id))).text
        _, *lines = csv.reader(io.StringIO(text, newline=""))
        assert len(lines) >= len(FORMULAS)
        for cell in (cell for line in lines for cell in line):
            assert not cell.startswith(STARTS), (path, cell)
        for formula in FORMULAS:
            assert f"'{formula}" in {cell for line in lines for cell in line}, (path, formula)


def test_csv_is_written_in_one_place() -> None:
    """Where it is made harmless. The demo's file is the state's, whose cells are as they are."""
    writers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app").rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)\(", path.read_text(encoding="utf-8"))
    }
    assert writers == {"app/api/run_exports.py", "app/demo/world.py"}


WILDCARDS = ("%", "_", ".*", "' OR '1'='1")


async def test_a_search_takes_every_character_as_it_is(api: Api) -> None:
    """Every text by which a list can be searched; nothing in the lists has any of these in it."""
    await api.add(District(id=DISTRICT, name="District", timezone=TIMEZONE))
    await live_in(api.factory, api.factory.settings.data_dir)
    tried = 0
    for path, methods in DOCUMENT["paths"].items():
        parameters = methods.get("get", {}).get("parameters", ())
        if "limit" not in {parameter["name"] for parameter in parameters}:
            continue
        url = path.removeprefix("/api/v1")
        everything = (await api.get(url, params={"limit": 200}, district=DISTRICT)).json()["items"]
        assert everything, url
        held = json.dumps(everything, ensure_ascii=False)
        for name in (each["name"] for each in parameters if each["name"] not in ("cursor", "limit", "sort")):
            for text in WILDCARDS:
                answer = await api.get(url, params={name: text}, district=DISTRICT)
                assert answer.status_code in (200, 422), (url, name, text, answer.text)
                if answer.status_code == 200 and text not in held:
                    assert answer.json()["items"] == [], (url, name, text)
                    tried += 1
    assert tried > 80


PAYLOADS = (
    "</td></tr></table></style></title><script>alert(1)</script>",
    "<img src='http://127.0.0.1:1/x'><svg onload=x><image href='file:///etc/passwd'/></svg>",
    "<style>@import url(file:///etc/passwd);*{display:none}</style>",
    "\"' style='background:url(http://127.0.0.1:1/)' x=\"",
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;&#60;b&#62;<!-- <![CDATA[ ]]>",
    "\\3c b\\3e /* } */ expression(1) javascript:alert(1)",
)
FIXED = {"id", "kind", "trigger", "status", "timezone", "state", "disagrees", "record", "sha256", "datestamp"}


def poisoned(value: Any, text: str) -> Any:
    """Return a report with the text in place of everything that somebody else wrote."""
    if isinstance(value, dict):
        return {key: item if key in FIXED else poisoned(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, text) for item in value]
    return text if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value) else value


class Structure(HTMLParser):
    """The tags of a page with their attributes, and its text without them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Any] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append(data)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_a_report_becomes_markup_or_style(payload: str) -> None:
    report = report_data.report(**dict.fromkeys(report_data.MAKERS, 3))
    calm, hostile = (Structure(report_html(poisoned(report, text), 500)) for text in ("x", payload))
    assert hostile.tags == calm.tags
    assert hostile.text.count(payload) > 20


AUDITED = """
import os, sys, tempfile
tempfile.gettempdir()  # tries, once, whether it can write there
touched = []
def note(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        touched.append(os.fsdecode(args[0]))
    elif event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        touched.append(event)
from app.pipeline import render_pdf
import weasyprint
sys.addaudithook(note)
render_pdf.main(int(sys.argv[1]))
sys.stderr.write("\\n".join(touched))
"""
MARKUP = """
<html lang=en><head><title>x</title><base href="file:///etc/">
<link rel=stylesheet href=passwd><link rel=attachment href="file:///etc/passwd"><link rel=icon href=shadow>
<style>
  @import "file:///etc/passwd"; @import url(http://127.0.0.1:{port}/import.css);
  @font-face {{ font-family: f; src: url(file:///etc/passwd), url(http://127.0.0.1:{port}/f.woff) }}
  body {{ background: url(file:///etc/passwd); font-family: f; list-style-image: url(passwd);
         content: url(http://127.0.0.1:{port}/content) }}
  p::before {{ content: url("file:///etc/passwd") }}
</style></head><body><p style="background: url(http://127.0.0.1:{port}/style)">hello
<img src=passwd><img src="http://127.0.0.1:{port}/img" srcset="http://127.0.0.1:{port}/set 2x">
<img src="\\\\127.0.0.1\\x"><img src="ftp://127.0.0.1:{port}/x"><img src="FILE:///etc/passwd">
<object data="file:///etc/passwd"></object><embed src="file:///etc/passwd"><iframe src=passwd></iframe>
<svg><image href="file:///etc/passwd" width=9 height=9 /><use href="file:///etc/passwd#a" /></svg>
<img src='data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 ><image xlink:href="file:///etc/passwd" width="9" height="9"/><use xlink:href="http://127.0.0.1:{port}/a"/></svg>'>
<img src='data:image/svg+xml,<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"
 ><text>&b;</text></svg>'>
<a href="file:///etc/passwd" rel=attachment>y</a>
"""  # fmt: skip


def test_markup_that_came_through_reads_no_file_and_opens_no_connection() -> None:
    """Whatever of it would be fetched, of this machine or of another: nothing but fonts is opened."""
    html = MARKUP.format(port=1)
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, str(os.getpid())],
        input=html.encode(),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.startswith(b"%PDF"), done.stderr[-2000:]
    assert b"/EmbeddedFile" not in done.stdout
    touched = done.stderr.decode().splitlines()
    assert touched, "WeasyPrint reads its own style sheets"
    ours = (sys.prefix, sys.base_prefix, str(ROOT), "/usr/share/fonts")
    assert [what for what in touched if not what.startswith(ours)] == []
    assert not any("passwd" in what for what in touched)
