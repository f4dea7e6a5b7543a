"""What the demo shows: a calm line a step, live progress on a terminal, the summary as a table."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from app.demo.errors import DemoError

SECTIONS = (
    (
        "Employees",
        (
            ("active", "employees_active"),
            ("matched", "employees_matched"),
            ("skipped: id or name disagrees", "employees_skipped"),
            ("missing certification data", "employees_missing_certification"),
            ("with an expired certification", "employees_expired_certification"),
            ("rows with a matched id under another name", "rows_same_id_other_name"),
        ),
    ),
    (
        "Certifications",
        (
            ("deleted", "certifications_deleted"),
            ("imported", "certifications_imported"),
            ("without an issue date", "certifications_missing_issue_date"),
            ("without an expiration date", "certifications_missing_expiration_date"),
            ("whose rows disagree", "licenses_conflicting"),
        ),
    ),
    (
        "Endorsements",
        (
            ("deleted", "endorsements_deleted"),
            ("imported", "endorsements_imported"),
            ("without an issue date", "endorsements_missing_issue_date"),
            ("without an expiration date", "endorsements_missing_expiration_date"),
        ),
    ),
    (
        "Rows of the file",
        (
            ("read", "rows_read"),
            ("matched", "rows_matched"),
            ("of another status", "rows_other_status"),
            ("rejected", "rows_rejected"),
            ("not ours", "rows_not_ours"),
        ),
    ),
)
"""The table: heading, then label and name in the run's summary."""


def figure(summary: dict[str, Any], name: str) -> int:
    """Return a figure of a run's summary; raises DemoError when it has none of this name."""
    if name not in summary:
        raise DemoError(f"The run's summary has no figure {name}: {summary}")
    return int(summary[name])


@dataclass
class Step:
    """A step under way: `show` phase and percentage as it goes on, set `figures` for the line it leaves."""

    show: Callable[[str, int], None]
    figures: str = ""


class Screen:
    """Writes to a terminal, or plain lines to anything else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal and not console.is_dumb_terminal

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show that a step is under way, then one line with its time and figures; nothing if it fails."""
        start = time.perf_counter()
        with self._bar(title) if self._live else self._lines() as show:
            step = Step(show)
            yield step
        self.text(f"{time.perf_counter() - start:6.1f} s  {title:<15} {step.figures}")

    @contextmanager
    def _bar(self, title: str) -> Iterator[Callable[[str, int], None]]:
        """Show a bar that goes away at the end; without a thread, because a child is forked meanwhile."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[phase]}"))
        with Progress(*columns, console=self._console, transient=True, auto_refresh=False) as progress:
            bar = progress.add_task(f"{'':10}{title:<15}", total=100, phase="")
            progress.refresh()
            yield lambda phase, percent: progress.update(
                bar, completed=percent, phase=f"{phase}, {percent} %", refresh=True
            )

    @contextmanager
    def _lines(self) -> Iterator[Callable[[str, int], None]]:
        """Show a line for every phase."""
        phases: list[str] = []

        def show(phase: str, percent: int) -> None:
            if phase not in phases:
                phases.append(phase)
                self.text(f"{'':10}{phase}, {percent} %")

        yield show

    def summary(self, summary: dict[str, Any]) -> None:
        """Show a run's summary as a table."""
        table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
        table.add_column()
        table.add_column(justify="right")
        for heading, lines in SECTIONS:
            table.add_row(f"[bold]{heading}[/]")
            for label, place in lines:
                table.add_row(f"  {label}", f"{figure(summary, place):,}")
            table.add_section()
        self._console.print(table)

    def text(self, text: str) -> None:
        """Show lines as they are, never wrapped: they can be copied and parsed."""
        self._console.out(text, highlight=False)
