"""How long an import keeps writers out, beside the same import with a plain delete-and-insert."""

import argparse
import sys

from benchmarks.import_child import ImportWorker
from benchmarks.imports import NAMES
from benchmarks.results import Results, percent_of
from benchmarks.settled import Settled, settled

EVERYTHING = 100
PERCENTAGES = (0, 1, 5, EVERYTHING)
"""Of the licences that differ from what is held."""
AT_MOST = {5_000: 50, 300_000: 1_000}
"""Milliseconds for employees of whom 1 % of the records differ."""
ALL_CHANGED = 1.3


def run(options: argparse.Namespace, results: Results) -> None:
    """Import by turns with the difference, and by deleting and inserting."""
    for database in options.database:
        with settled(database, options.employees, options.rows) as district:
            district.serve(0)
            district.worker.measure()
            district.rest()
            with ImportWorker(district.settings, plain=True) as plain:
                plain.measure()
                district.rest()
                for percent in options.percent or PERCENTAGES:
                    case = f"{NAMES[database]}, {options.employees:,} employees, {percent} % changed"
                    _windows(district, plain, case, percent, options, results)


def _windows(
    district: Settled,
    plain: ImportWorker,
    case: str,
    percent: int,
    options: argparse.Namespace,
    results: Results,
) -> None:
    ours, theirs, written = [], [], []
    for repeat in range(options.repeats):
        district.serve(percent)
        measured = district.worker.measure()
        ours.append(1000 * measured.lock_seconds)
        written.append(percent_of(measured.written, measured.records))
        district.rest()
        district.serve(0)
        theirs.append(1000 * plain.measure().lock_seconds)
        district.rest()
        print(f"  {case}: {repeat + 1} of {options.repeats}", file=sys.stderr)
    window = results.add(case, "certsync", "ms", ours)
    beside = results.add(case, "delete-and-insert", "ms", theirs)
    results.add(case, "records written", "%", written)
    bound = AT_MOST.get(options.employees)
    if percent == 1 and bound:
        results.at_most(case, "lock window", window.median, bound, " ms")
    if percent == EVERYTHING:
        results.at_most(case, "lock window / delete-and-insert", window.median / beside.median, ALL_CHANGED)
