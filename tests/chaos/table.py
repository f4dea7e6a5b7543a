"""The table: fault by phase, how often it was tried, what was lost, how long things took."""

from collections.abc import Iterable
from dataclasses import dataclass, field

HEAD = ("fault", "phase", "times", "lost", "wrong", "writers in, s", "runs over, s", "ready, s")


@dataclass
class Outcome:
    """What one blow came to; `lost` and `wrong` are sentences, the rest seconds."""

    fault: str
    phase: str
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    writers: float = 0.0
    runs: float = 0.0
    ready: float = 0.0


def table(outcomes: Iterable[Outcome], not_run: Iterable[tuple[str, str]] = ()) -> str:
    """Return it with a line for each fault and phase; the seconds are the longest ones."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.fault, outcome.phase), []).append(outcome)
    lines: list[tuple[str, ...]] = [HEAD]
    for (fault, phase), group in groups.items():
        figures = [sum(len(one.lost) for one in group), sum(len(one.wrong) for one in group)]
        times = [max(getattr(one, name) for one in group) for name in ("writers", "runs", "ready")]
        lines.append(
            (fault, phase, str(len(group)), *map(str, figures), *(f"{value:.1f}" for value in times))
        )
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    texts = [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*texts, *(f"{fault}: not run: {reason}" for fault, reason in not_run)])
