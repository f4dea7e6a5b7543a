"""The page of benchmarks: every target is on it, a miss as a miss; charts are drawn alike each time."""

from pathlib import Path

import pytest

from benchmarks.chart import draw, exponent
from benchmarks.page import CHARTS, page, read
from benchmarks.results import Results


def measured(part: str, size: str, rows: int, factor: float) -> Results:
    """Return figures of our own making that grow with the rows; with `factor` 2 a target is missed."""
    results = Results(part, {"size": size, "rows": str(rows)}, notes=["Nothing was measured."])
    case = f"SQLite, {rows:,} rows, 1 % changed"
    floor = results.add(case, "floor", "s", [rows / 1e5, rows / 1e5, rows / 2e5])
    ours = results.add(case, "certsync", "s", [factor * floor.median])
    results.add(case, "certsync: parse", "s", [0.75 * ours.median])
    results.add(case, "certsync: replace", "s", [0.25 * ours.median])
    results.add(case, "peak memory", "MiB", [50, 51])
    results.at_most(case, "import / floor", ours.median / floor.median, 1.25)
    results.at_least(case, "rows a second", rows / ours.median, 1_000, "/s")
    return results


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for size, rows, factor in (("small", 10_000, 1.2), ("large", 1_000_000, 2)):
        measured("imports", size, rows, factor).write(tmp_path / "performance" / f"imports-{size}.json")
    return tmp_path / "performance"


def test_every_target_is_stated_and_a_miss_is_a_miss(directory: Path) -> None:
    text = page([read(path) for path in sorted(directory.glob("*.json"))], [], directory.parent)
    assert "3 of 5 targets are met." in text
    assert (
        "| imports | SQLite, 10,000 rows, 1 % changed | import / floor | 1.2 | at most 1.25 | met |" in text
    )
    assert (
        "| imports | SQLite, 1,000,000 rows, 1 % changed | import / floor | 2 | at most 1.25 | **missed** |"
        in text
    )
    exponent_of_both = "10,000 to 1,000,000 rows, 1 % changed | exponent of the time | 1.11 | at most 1.05"
    assert f"| growth | SQLite, {exponent_of_both} | **missed** |" in text
    assert text.count("at least 1000/s | met |") == 2


def test_series_stand_by_case_with_median_least_and_most(directory: Path) -> None:
    text = page([read(directory / "imports-large.json")], [], directory.parent)
    section = text.partition("### SQLite, 1,000,000 rows, 1 % changed")[2]
    assert "| floor | 10 | 5 | 10 | s | 3 |" in section
    assert "- Nothing was measured." in section
    assert "- Measured on " in section


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_exponent_of_known_growth(power: float) -> None:
    assert exponent([(x, 3 * x**power) for x in (10, 1_000, 50_000)]) == pytest.approx(power)


def test_charts_of_the_same_figures_are_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    results = [read(path).results for path in sorted(directory.glob("*.json"))]
    again = tmp_path / "again"
    again.mkdir()
    drawn = [path for chart in CHARTS if (path := draw(chart, results, directory))]
    assert {path.name for path in drawn} == {"imports.svg", "growth-time.svg", "growth-memory.svg"}
    for chart in CHARTS:
        draw(chart, results, again)
    for path in drawn:
        assert path.read_bytes() == (again / path.name).read_bytes()
