"""The tables of docs/security.md: no requirement is left out, and what is said to be tested is."""

import ast
import re
from functools import cache

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ASVS = """
1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2 2.1.1-3 2.2.1-3 2.3.1-4 2.4.1-1 3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5
3.7.1-2 4.1.1-3 4.2.1-1 4.3.1-2 4.4.1-4 5.1.1-1 5.2.1-3 5.3.1-2 5.4.1-3 6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4
6.5.1-5 6.6.1-3 6.8.1-4 7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2 8.1.1-2 8.2.1-3 8.3.1-1 8.4.1-1
9.1.1-3 9.2.1-4 10.1.1-2 10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3 11.1.1-2 11.2.1-3 11.3.1-3
11.4.1-4 11.5.1-1 11.6.1-1 12.1.1-3 12.2.1-2 12.3.1-4 13.1.1-1 13.2.1-5 13.3.1-2 13.4.1-5 14.1.1-2 14.2.1-4
14.3.1-3 15.1.1-3 15.2.1-3 15.3.1-7 16.1.1-1 16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3 17.1.1-1 17.2.1-4 17.3.1-2
"""
"""The requirements of levels 1 and 2 of OWASP ASVS 5.0.0, first and last of each section (its CSV)."""
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE[PAGE.index("## OWASP ASVS") :].splitlines()
    if re.match(r"\| (\d|API\d)", line)
]


def required() -> list[str]:
    spans = (re.fullmatch(r"(\d+\.\d+)\.(\d+)-(\d+)", span) for span in ASVS.split())
    return [
        f"{span[1]}.{number}" for span in spans if span for number in range(int(span[2]), int(span[3]) + 1)
    ]


@cache
def functions() -> frozenset[str]:
    """Every test there is, as the tables name it."""
    return frozenset(
        f"{path.stem}::{node.name.removeprefix('test_')}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_every_requirement_stands_in_one_row() -> None:
    assert len(required()) == 253
    stated = [
        item
        for row in ROWS
        if not row[0].startswith("API")
        for item in re.findall(r"\d+\.\d+\.\d+", re.sub(r"[\d.]+ \(level 3\)", "", row[0]))
    ]
    assert sorted(stated) == sorted(required())
    assert [row[0].split()[0] for row in ROWS if row[0].startswith("API")] == [
        f"API{n}" for n in range(1, 11)
    ]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+::\w+)`", PAGE))
    assert len(named) > 80
    assert named - functions() == set()


@pytest.mark.parametrize(
    "row", [row for row in ROWS if len(row) == 4 or row[0].startswith("API")], ids=lambda row: row[0]
)
def test_what_is_met_names_its_test_or_its_page(row: list[str]) -> None:
    assert re.search(r"`test_\w+::\w+`", row[-1]) or (
        row[-1] == "*Page*" and re.search(r"\]\(\S+\)", row[-2])
    )


def test_every_page_that_is_linked_exists() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        links = re.findall(r"\]\(([^)#\s]*)(?:#([\w-]*))?\)", path.read_text(encoding="utf-8"))
        for target, anchor in links:
            if target.startswith(("http", "mailto:")):
                continue
            page = (path.parent / target).resolve() if target else path
            assert page.exists(), f"{path.name}: {target}"
            if anchor:
                assert anchor in anchors(page.read_text(encoding="utf-8")), f"{path.name}: {target}#{anchor}"


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}
