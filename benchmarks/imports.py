"""How long an import takes beside merely loading its file, and how much memory it needs."""

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.floor import load_file
from benchmarks.import_child import measure_import
from benchmarks.prepare import licence_file, prepare, settings_of, spread


def run(options: argparse.Namespace) -> None:
    print(f"{options.employees:,} employees, {options.rows:,} rows; seconds: median (least-most)")
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
                print(f"\n{database}")
                print(f"  file into a plain table (floor)  {spread(floors)}")
                print(f"  import into an empty district    {spread(first)}")
                print(f"  import of the same file again    {spread(again)}")
                ratio = statistics.median(again) / statistics.median(floors)
                print(f"  ratio of the latter to the floor {ratio:8.2f}")
                print(f"  memory when idle, MiB            {empty.idle_mib:8.0f}")
                print(f"  peak memory, MiB                 {max(peaks):8.0f}")
