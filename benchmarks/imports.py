"""How long an import takes beside merely loading its file, and how much memory it needs."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.floor import load_file
from benchmarks.import_child import measure_import
from benchmarks.prepare import licence_file, prepare, settings_of
from benchmarks.results import Results


def run(options: argparse.Namespace, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        world, file = licence_file(options.employees, options.rows, directory)
        for database in options.database or ["sqlite", "postgresql"]:
            with settings_of(database, directory / database) as settings:
                asyncio.run(prepare(settings, world))
                floors, first, again, peaks = [], [], [], []
                for repeat in range(options.repeats):
                    floors.append(load_file(settings, file))
                    empty = measure_import(settings, file, empty=True)
                    first.append(empty.seconds)
                    same = measure_import(settings, file, empty=False)
                    again.append(same.seconds)
                    peaks += [empty.peak_mib, same.peak_mib]
                    print(f"  {database} {repeat + 1}/{options.repeats}", file=sys.stderr)
                case = f"{database}, {options.employees:,} employees, {options.rows:,} rows"
                floor = results.add(case, "file into a plain table (floor)", "s", floors)
                results.add(case, "import into an empty district", "s", first)
                same_file = results.add(case, "import of the same file again", "s", again)
                results.add(case, "memory when idle", "MiB", [empty.idle_mib])
                results.add(case, "peak memory", "MiB", peaks)
                results.at_most(case, "import / floor", same_file.median / floor.median, 1.25)
