"""How long an import takes, by phase, beside the least that has to be done; and how much memory it needs."""

import argparse
import sys
from collections import defaultdict

from benchmarks.import_child import Measured, measure_import
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
            first = _first(district, where, results)
            peak = first.peak_mib - first.idle_mib
            for percent in PERCENTAGES:
                peak = max(peak, _day(district, database, where, percent, options, results))
            results.at_most(where, "peak memory over idle", peak, MEMORY, " MiB")


def _first(district: Settled, where: str, results: Results) -> Measured:
    """Fill both districts with the records of day 0."""
    case = f"{where}, first import"
    district.serve(0)
    measured = measure_import(district.settings)
    results.add(case, "certsync", "s", [measured.seconds])
    results.add(case, "floor", "s", [district.floor.run(district.server, district.directory)["total"]])
    district.rest()
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
        ours.append(measure_import(district.settings))
        floors.append(district.floor.run(district.server, district.directory))
        district.rest()
        print(f"  {case}: {repeat + 1} of {options.repeats}", file=sys.stderr)
    if options.repeats % 2 and percent:
        _back(district)
    total = results.add(case, "certsync", "s", [measured.seconds for measured in ours])
    floor = results.add(case, "floor", "s", [steps["total"] for steps in floors])
    phases = defaultdict(list)
    for measured in ours:
        for phase, seconds in measured.phases.items():
            phases[f"certsync: {phase}"].append(seconds)
    for steps in floors:
        for step, seconds in steps.items():
            if step != "total":
                phases[f"floor: {step}"].append(seconds)
    for name, values in phases.items():
        results.add(case, name, "s", values)
    results.add(case, "records written", "%", [percent_of(m.written, m.records) for m in ours])
    results.add(case, "peak memory", "MiB", [measured.peak_mib for measured in ours])
    results.add(case, "idle memory", "MiB", [measured.idle_mib for measured in ours])
    results.at_most(case, "import / floor", total.median / floor.median, AT_MOST[database])
    return max(measured.peak_mib - measured.idle_mib for measured in ours)


def _back(district: Settled) -> None:
    """Let both hold the records of day 0 again."""
    district.serve(0)
    measure_import(district.settings)
    district.floor.run(district.server, district.directory)
    district.rest()
