"""Draws what the parts measured as SVG: bars beside each other, or lines over a number in their cases."""

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.results import Results, Series, number

BESIDE = "floor|delete-and-insert|alone|idle"
"""Found in the `who` of what certsync stands beside."""
GREY = "#6b6b6b"
COLOURS = ("#0b5394", "#b04400", "#00694f", "#7a3e86", "#806000", "#a61c3c", "#33667a", "#5c4033")
"""Each dark enough on white to be read as text."""
MARKERS = "osD^vPX*"
WRAP = 26
"""Characters on a line of a label."""
TITLE_WRAP = 36
NARROW = 0.13
"""Share of a panel's width below which a segment has no room for its figure."""
LINE_HEIGHT = 0.065
"""Share of the height of a panel of lines that a line of text takes."""
LINES = 6
"""Bars that are as high as a panel of lines."""
WIDTH = 8
"""Inches of a panel by itself."""
LOOKS: Any = {
    "svg.hashsalt": "certsync",
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Bars:
    """A panel for each case of `part` that fits `cases`, and in it a bar a series in `unit` whose `who` fits.

    Series whose `who` fits `stacked` make one bar together; its first group is what they are called there.
    Those whose `who` fits `beside` are grey.
    """

    name: str
    title: str
    part: str
    unit: str
    cases: str = ""
    who: str = ""
    stacked: str = "(?!)"
    beside: str = BESIDE


@dataclass(frozen=True)
class Lines:
    """A line for each `who` of `part` in `unit` that fits, over the number that `over` finds in the case.

    Drawn are cases that fit `cases`. A case without all that `varies` finds is the title of its panel. With
    `fitted` both axes are logarithmic and lines are labelled with the exponent of their growth; else the
    numbers stand at even distances.
    Those whose `who` fits `beside` are grey.
    """

    name: str
    title: str
    part: str
    unit: str
    over: str
    varies: str
    axis: str
    cases: str = ""
    who: str = ""
    fitted: bool = False
    beside: str = BESIDE


def exponent(points: Iterable[tuple[float, float]]) -> float:
    """Return the power of x with which y grows, by least squares on the logarithms of both.

    Raises StatisticsError for fewer than two different x.
    """
    logarithms = [(math.log(x), math.log(y)) for x, y in points]
    return statistics.linear_regression(*zip(*logarithms, strict=True)).slope


def draw(chart: Bars | Lines, measured: Sequence[Results], directory: Path) -> Path | None:
    """Write a chart into a directory and return its path; None when nothing of it was measured.

    The same figures give the same bytes.
    """
    panels = _panels(chart, measured)
    if not panels:
        return None
    path = directory / f"{chart.name}.svg"
    with mpl.rc_context(LOOKS):
        figure = Figure(layout="constrained", facecolor="white")
        figure.suptitle(chart.title, fontsize=14)
        columns = min(2, len(panels))
        axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False)
        for axis, (title, shown) in zip(axes.flat, panels.items(), strict=False):
            axis.set_title(fill(title, TITLE_WRAP))
            if isinstance(chart, Bars):
                _bars(axis, chart, shown)
            else:
                _lines(axis, chart, shown)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        handles, labels = axes.flat[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=5)
        rows = max(_bars_of(chart, shown) for shown in panels.values()) if isinstance(chart, Bars) else LINES
        figure.set_size_inches(WIDTH * (1 + columns) / 2, 1 + (1 + 0.5 * rows) * len(axes))
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _panels(chart: Bars | Lines, measured: Sequence[Results]) -> dict[str, list[Series]]:
    """Return the series of each panel by its title."""
    panels: dict[str, list[Series]] = defaultdict(list)
    for one in (one for results in measured if results.part == chart.part for one in results.series):
        fits = re.search(chart.who, one.who) and re.search(chart.cases, one.case)
        if one.unit != chart.unit or not fits:
            continue
        if isinstance(chart, Bars):
            panels[one.case].append(one)
        elif re.search(chart.over, one.case):
            panels[re.sub(chart.varies, "", one.case).strip(" ,") or chart.part].append(one)
    if isinstance(chart, Lines) and chart.fitted:  # nothing grows in one case
        return {title: shown for title, shown in panels.items() if len({one.case for one in shown}) > 1}
    return panels


def _bars_of(chart: Bars, shown: Sequence[Series]) -> int:
    stacked = sum(bool(re.search(chart.stacked, one.who)) for one in shown)
    return len(shown) - stacked + bool(stacked)


def _bars(axis: Any, chart: Bars, shown: Sequence[Series]) -> None:
    """Draw a bar a series from top to bottom with its median; a whisker goes from the least to the most."""
    pieces = [one for one in shown if re.search(chart.stacked, one.who)]
    single = [one for one in shown if one not in pieces]
    longest = max([sum(one.median for one in pieces), *(max(one.values) for one in single)])
    labels = []
    if pieces:
        _stack(axis, chart, pieces, longest)
        labels.append("certsync by phase")
    for place, one in enumerate(single, len(labels)):
        colour = GREY if re.search(chart.beside, one.who) else COLOURS[0]
        axis.barh(place, one.median, color=colour, height=0.62)
        low, high = one.median - min(one.values), max(one.values) - one.median
        if low or high:
            axis.errorbar(one.median, place, xerr=[[low], [high]], color="black", capsize=3, linewidth=1)
        axis.text(max(one.values) + 0.02 * longest, place, f"{number(one.median)} {one.unit}", va="center")
        labels.append(fill(one.who, WRAP))
    axis.set_yticks(range(len(labels)), labels)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.25 * longest)
    axis.set_xlabel(chart.unit)
    axis.grid(axis="x")


def _stack(axis: Any, chart: Bars, pieces: Sequence[Series], longest: float) -> None:
    """Draw series as one bar, the first one of the panel."""
    left = 0.0
    for one, colour in zip(pieces, cycle(COLOURS), strict=False):
        found = re.search(chart.stacked, one.who)
        assert found
        axis.barh(0, one.median, left=left, color=colour, height=0.62, edgecolor="white", label=found[1])
        if one.median > NARROW * longest:
            axis.text(left + one.median / 2, 0, number(one.median), ha="center", va="center", color="white")
        left += one.median
    axis.text(left + 0.02 * longest, 0, f"{number(left)} {chart.unit}", va="center")


def _lines(axis: Any, chart: Lines, shown: Sequence[Series]) -> None:
    """Draw a line a `who` through its medians, with its name beside its end."""
    lines: dict[str, dict[float, float]] = defaultdict(dict)
    for one in shown:
        found = re.search(chart.over, one.case)
        assert found
        lines[one.who][float(found[1].replace(",", ""))] = one.median
    numbers = sorted({x for points in lines.values() for x in points})
    places = {x: x if chart.fitted else place for place, x in enumerate(numbers)}
    axis.set(xscale="log" if chart.fitted else "linear", yscale="log", xlabel=chart.axis, ylabel=chart.unit)
    names = []
    for (who, points), colour, marker in zip(lines.items(), cycle(COLOURS), cycle(MARKERS), strict=False):
        drawn = GREY if re.search(chart.beside, who) else colour
        xs = sorted(points)
        axis.plot([places[x] for x in xs], [points[x] for x in xs], marker=marker, color=drawn)
        fitted = chart.fitted and len(xs) > 1
        text = f"{who}, exponent {exponent(points.items()):.2f}" if fitted else who
        names.append((places[xs[-1]], points[xs[-1]], fill(text, WRAP), drawn))
    medians = [y for points in lines.values() for y in points.values()]
    axis.set_ylim(
        10 ** math.floor(math.log10(min(medians))), 10 ** math.ceil(math.log10(max(medians) * 1.01))
    )
    axis.set_xticks([places[x] for x in numbers], list(map(_short, numbers)))
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.minorticks_off()
    axis.grid()
    _name_ends(axis, names)


def _short(value: float) -> str:
    for size, suffix in ((10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def _name_ends(axis: Any, names: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each line's name to the right of its end, none on another; they are x, y, text and colour."""
    in_axes = axis.transScale + axis.transLimits
    lowest = -math.inf
    for y, text, colour in sorted(
        (in_axes.transform((x, y))[1], text, colour) for x, y, text, colour in names
    ):
        half = LINE_HEIGHT * (1 + text.count("\n")) / 2
        middle = max(y, lowest + half)
        lowest = middle + half
        axis.annotate(text, (1.02, middle), xycoords="axes fraction", va="center", color=colour)
