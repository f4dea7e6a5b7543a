"""`python -m benchmarks.page`: writes docs/performance.md and its charts from the JSON of the parts."""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chart import Bars, Lines, draw, exponent
from benchmarks.results import Results, Series, Target, number

A_DAY = "1 % changed"
"""The cases of imports that are drawn: the next file of a settled district."""
SIZE = r"[\d,]+ (rows|employees),? ?"
CHARTS = (
    Bars(
        "imports",
        "Import beside the least that has to be done",
        "imports",
        "s",
        cases=A_DAY,
        who="^(certsync|floor)$|^certsync: ",
        stacked="^certsync: (.*)",
    ),
    Lines(
        "growth-time",
        "Growth of the time of an import",
        "imports",
        "s",
        over=r"([\d,]+) rows",
        varies=SIZE,
        axis="rows of the file",
        cases=A_DAY,
        who="^(certsync|floor)$",
        fitted=True,
    ),
    Lines(
        "growth-memory",
        "Growth of the memory of an import",
        "imports",
        "MiB",
        over=r"([\d,]+) rows",
        varies=SIZE,
        axis="rows of the file",
        cases=A_DAY,
        fitted=True,
    ),
    Lines(
        "lock-window",
        "Time in which an import keeps writers out",
        "lock-window",
        "ms",
        over=r"([\d.]+) ?% ",
        varies=r"[\d.]+ ?% [^,]*,? ?",
        axis="licences that differ, %",
    ),
    Bars(
        "peers",
        "Beside other ways to load the file",
        "peers",
        "s",
        who="^[^:]*$|next file: from claim",
        beside="^(?!certsync)",
    ),
    Bars("report", "Time of a PDF", "report", "s", who="^(?!processor)"),
)
GROWTH = 1.05
"""The exponent of an import's time over the rows of its file, at most."""
INTRODUCTION = """\
# Performance

What certsync's parts took, beside what they are compared with, and beside the targets that the project sets
itself. Both sides of a comparison were measured in the same run, in turn; [how](../benchmarks/README.md).

`python -m benchmarks.page` wrote this page from the JSON files in [performance](performance/).
"""


@dataclass(frozen=True)
class Run:
    """What one part measured in one go, when, and on what."""

    results: Results
    at: str
    machine: dict[str, Any]


def read(path: Path) -> Run:
    """Return what `Results.write` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    results = Results(
        content["part"],
        content["options"],
        [Series(**series) for series in content["series"]],
        [Target(**target) for target in content["targets"]],
        content["notes"],
    )
    return Run(results, content["at"], content["machine"])


def page(runs: Sequence[Run], charts: Sequence[tuple[Bars | Lines, Path]], directory: Path) -> str:
    """Return the page as Markdown; `directory` is where it will lie, and charts are linked from there."""
    parts: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        parts[run.results.part].append(run)
    measured = [run.results for run in runs]
    sections = [INTRODUCTION, _targets([*measured, growth(measured)])]
    for part, theirs in parts.items():
        images = [
            f"![{chart.title}]({path.relative_to(directory)})\n"
            for chart, path in charts
            if chart.part == part
        ]
        sections += [f"## {part}\n", *images, *map(_section, theirs)]
    return "\n".join(sections)


def growth(measured: Sequence[Results]) -> Results:
    """Return how the time of an import grows with the rows of its file, by database, as a part of its own."""
    times: dict[str, dict[float, float]] = defaultdict(dict)
    for one in (one for results in measured if results.part == "imports" for one in results.series):
        found = re.search(r"([\d,]+) rows", one.case)
        if found and A_DAY in one.case and one.who == "certsync":
            times[one.case.split(",")[0]][float(found[1].replace(",", ""))] = one.median
    results = Results("growth", {})
    for database, points in times.items():
        if len(points) > 1:
            case = f"{database}, {min(points):,.0f} to {max(points):,.0f} rows, {A_DAY}"
            results.at_most(case, "exponent of the time", exponent(points.items()), GROWTH)
    return results


def _targets(measured: Sequence[Results]) -> str:
    rows = [
        (
            results.part,
            target.case,
            target.what,
            f"{number(target.figure)}{target.unit}",
            f"{target.sense.replace('_', ' ')} {target.bound:g}{target.unit}",
            "met" if target.met else "**missed**",
        )
        for results in measured
        for target in results.targets
    ]
    missed = sum(not target.met for results in measured for target in results.targets)
    summary = f"{len(rows) - missed} of {len(rows)} targets are met.\n"
    return "\n".join(
        ["## Targets\n", summary, _table(("part", "case", "what", "figure", "target", ""), rows)]
    )


def _section(run: Run) -> str:
    """Return a table for each case, and what the figures were measured on."""
    cases: dict[str, list[Series]] = defaultdict(list)
    for series in run.results.series:
        cases[series.case].append(series)
    lines = []
    for case, shown in cases.items():
        rows = [
            (
                series.who,
                number(series.median),
                number(min(series.values)),
                number(max(series.values)),
                series.unit,
                str(len(series.values)),
            )
            for series in shown
        ]
        lines += [f"### {case}\n", _table(("", "median", "least", "most", "unit", "repeats"), rows)]
    lines += [f"- {note}" for note in [*run.results.notes, _measured_on(run)]]
    return "\n".join(lines) + "\n"


def _measured_on(run: Run) -> str:
    machine = run.machine
    versions = [f"{name} {version}" for name, version in machine["packages"].items()]
    versions += [version for version in machine["tools"].values() if version]
    return (
        f"Measured on {run.at[:10]}: {machine['processors']} processors, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}; {', '.join(versions)}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _order(run: Run) -> tuple[str, int]:
    """Return by what runs are sorted: the part, then the size."""
    return run.results.part, int(run.results.options.get("rows", 0))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument(
        "json", nargs="*", type=Path, help="files that parts wrote, of docs/performance if none"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/performance.md"))
    options = parser.parse_args()
    directory: Path = options.output.parent / options.output.stem
    files = options.json or sorted(directory.glob("*.json"))
    if not files:
        sys.exit(f"there is no JSON in {directory}: measure first, see benchmarks/README.md")
    directory.mkdir(parents=True, exist_ok=True)
    runs = sorted(map(read, files), key=_order)
    measured = [run.results for run in runs]
    drawn = [(chart, path) for chart in CHARTS if (path := draw(chart, measured, directory))]
    options.output.write_text(page(runs, drawn, options.output.parent), encoding="utf-8")


if __name__ == "__main__":
    main()
