"""How long an import takes, by phase, beside the least that has to be done; and how much memory it needs."""

import argparse
import sys
from collections import defaultdict

from benchmarks.import_child import Measured
from benchmarks.results import Results, percent_of
from benchmarks.settled import Settled, settled

PERCENTAGES = (0, 1, 5)
"""Of the licences that differ from the file before."""
AT_MOST = {"sqlite": 1.5, "postgresql": 1.25}
MEMORY = 150
"""MiB over what an idle process has."""
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def run(options: argparse.Namespace, results: Results) -> None:
    """Import day after day, by turns with the floor."""
    for database in options.database:
        with settled(database, options.employees, options.rows) as district:
            where = f"{NAMES[database]}, {options.employees:,} employees, {options.rows:,} rows"
            if lacking := district.floor.lacking():
                results.notes.append(f"{where}: no floor, without {' and '.join(lacking)}")
            first = _first(district, where, results)
            peak = first.peak_mib - first.idle_mib
            for percent in options.percent or PERCENTAGES:
                peak = max(peak, _day(district, database, where, percent, options, results))
            results.at_most(where, "peak memory over idle", peak, MEMORY, " MiB")
            if not lacking and (unlike := district.unlike()):
                results.notes.append(f"{where}: the floor holds {' and '.join(unlike)}")


def _first(district: Settled, where: str, results: Results) -> Measured:
    """Fill both districts with the records of day 0."""
    district.serve(0)
    measured, steps = _both(district)
    _tell(f"{where}, first import", [measured], [steps], results)
    return measured


def _day(
    district: Settled, database: str, where: str, percent: int, options: argparse.Namespace, results: Results
) -> float:
    """Measure imports of files of which that much differs; return the most memory over idle, in MiB."""
    case = f"{where}, {percent} % changed"
    ours, floors = [], []
    for repeat in range(options.repeats):
        # There and back again: either way that much differs from what is held.
        district.serve(percent if repeat % 2 == 0 else 0)
        measured, steps = _both(district)
        ours.append(measured)
        floors.append(steps)
        print(f"  {case}: {repeat + 1} of {options.repeats}", file=sys.stderr)
    if options.repeats % 2 and percent:
        district.serve(0)
        _both(district)
    ratio = _tell(case, ours, floors, results)
    if ratio is not None:
        results.at_most(case, "import / floor", ratio, AT_MOST[database])
    return max(measured.peak_mib - measured.idle_mib for measured in ours)


def _both(district: Settled) -> tuple[Measured, dict[str, float]]:
    """Import what the server has, and have the floor do it."""
    measured = district.worker.measure()
    steps = district.floor.run(district.server, district.directory)
    district.rest()
    return measured, steps


def _tell(case: str, ours: list[Measured], floors: list[dict[str, float]], results: Results) -> float | None:
    """Put series of a case into the results; return our median over the floor's, if there is one."""
    total = results.add(case, "certsync", "s", [measured.seconds for measured in ours])
    ratio = None
    if all(floors):
        floor = results.add(case, "floor", "s", [steps["total"] for steps in floors])
        ratio = total.median / floor.median
    phases = defaultdict(list)
    for measured in ours:
        for phase, seconds in measured.phases.items():
            phases[f"certsync: {phase}"].append(seconds)
    for steps in floors:
        for step, seconds in steps.items():
            phases[f"floor: {step}"].append(seconds)
    for name, values in phases.items():
        if name != "floor: total":
            results.add(case, name, "s", values)
    results.add(case, "records written", "%", [percent_of(m.written, m.records) for m in ours])
    results.add(case, "peak memory", "MiB", [measured.peak_mib for measured in ours])
    results.add(case, "idle memory", "MiB", [measured.idle_mib for measured in ours])
    return ratio
