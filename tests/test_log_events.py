"""What the log says is on the operators' page, so that nobody has to look for it in the code."""

import ast
import re
from collections.abc import Iterator

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
LEVELS = {"info", "warning", "error", "exception", "critical"}
"""Those that are shown unless somebody asks for more."""


def said() -> Iterator[str]:
    """Yield the event of each line that the code can log."""
    for folder in ("app", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Attribute(ast.Name("log" | "_log"), level), args=[event, *_]) if (
                        level in LEVELS
                    ):
                        yield from names(event)
                    case ast.Call(func=ast.Attribute(ast.Name("log"), "log"), args=[_, event, *_]):
                        yield from names(event)


def names(event: ast.expr) -> Iterator[str]:
    """Yield the event, or both where a condition chooses."""
    match event:
        case ast.Constant(str(name)):
            yield name
        case ast.IfExp(_, one, other):
            yield from names(one)
            yield from names(other)


def told() -> set[str]:
    """Return the events in the first column of the page's table of the log."""
    table = PAGE.split("| event | level | |", 1)[1].split("\n\n", 1)[0]
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    return {event for cell in cells for event in re.findall(r"\w+", cell)}


def test_every_event_is_on_the_page_and_no_other() -> None:
    exist = set(said())
    assert len(exist) > 80
    assert told() == exist


def test_events_that_the_page_has_people_look_for_exist() -> None:
    phrases = re.findall(r"((?:`\w+`(?:,| and| or) )*`\w+`) in the log\b", PAGE)
    sought = {event for phrase in phrases for event in re.findall(r"\w+(?=`)", phrase)}
    assert "database_unavailable" in sought
    assert sought <= set(said())
