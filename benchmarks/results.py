"""What a part measures: series of repeats, ratios beside their targets; as a table, and as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

PACKAGES = ("psycopg", "sqlalchemy", "asyncssh", "fastapi", "weasyprint", "pandas", "dlt")
"""Whose versions tell what was measured; those that are not installed are left out."""


@dataclass(frozen=True)
class Series:
    """The values of `who` (certsync, or what it stands beside) in one case, one a repeat."""

    case: str
    who: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    def spread(self) -> str:
        """Return median, least and most as text."""
        low, high = number(min(self.values)), number(max(self.values))
        return number(self.median) + (f" ({low} to {high})" if len(self.values) > 1 else "")


@dataclass(frozen=True)
class Target:
    """A figure beside the bound that the project sets itself: `at_most` or `at_least` it."""

    case: str
    what: str
    figure: float
    sense: Literal["at_most", "at_least"]
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.figure <= self.bound if self.sense == "at_most" else self.figure >= self.bound

    def line(self) -> str:
        """Return it as a line of text."""
        sign = "<=" if self.sense == "at_most" else ">="
        mark = "met" if self.met else "MISSED"
        return f"  {self.case}: {self.what} {number(self.figure)}{self.unit} ({sign} {self.bound:g}) {mark}"


@dataclass
class Results:
    """What one part measured in one go; `notes` say what a reader of the figures has to know."""

    part: str
    options: dict[str, Any]
    series: list[Series] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, case: str, who: str, unit: str, values: Sequence[float]) -> Series:
        """Take a series and return it."""
        series = Series(case, who, unit, list(values))
        self.series.append(series)
        return series

    def at_most(self, case: str, what: str, figure: float, bound: float, unit: str = "") -> None:
        """Take a figure that should not be over `bound`."""
        self.targets.append(Target(case, what, figure, "at_most", bound, unit))

    def at_least(self, case: str, what: str, figure: float, bound: float, unit: str = "") -> None:
        """Take a figure that should not be under `bound`."""
        self.targets.append(Target(case, what, figure, "at_least", bound, unit))

    def table(self) -> str:
        """Return series, targets and notes as text."""
        lines = []
        case = None
        for series in self.series:
            if series.case != case:
                case = series.case
                lines.append(f"\n{case}")
            lines.append(f"  {series.who:<44}{series.spread():>32} {series.unit}")
        return "\n".join([*lines, "", *(target.line() for target in self.targets), *self.notes])

    def write(self, path: Path) -> None:
        """Write everything as JSON, with the machine and the versions."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = asdict(self) | {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def percent_of(part: int, whole: int) -> float:
    """Return what part of a whole something is, in percent."""
    return 100 * part / whole if whole else 0.0


def number(value: float) -> str:
    """Return a figure with three digits that count."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processors, memory, system, versions."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": packages,
        "tools": {name: _first_line(*command) for name, command in TOOLS.items()},
    }


TOOLS = {
    "psql": ("psql", "--version"),
    "sqlite3": ("sqlite3", "--version"),
    "sftp": ("ssh", "-V"),
    "pgloader": ("pgloader", "--version"),
}


def _first_line(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return (done.stdout or done.stderr).strip().split("\n")[0]
