"""How long an import takes beside merely loading its file, and how much memory it needs."""

import argparse
import asyncio
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.demo.world import make_world, write_licence_file
from app.settings import Settings
from benchmarks.floor import load_file
from benchmarks.import_child import measure_import
from benchmarks.prepare import prepare
from tests.support.postgres import PostgresCluster


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--employees", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    return parser.parse_args()


@contextmanager
def settings_of(database: str, directory: Path) -> Iterator[Settings]:
    """Yield the settings of an empty database of its own."""
    directory.mkdir()
    if database == "sqlite":
        yield Settings(data_dir=directory)
        return
    cluster = PostgresCluster(fsync=True)
    try:
        yield Settings(data_dir=directory, database_url=cluster.create_database())
    finally:
        cluster.stop()


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    options = arguments()
    print(f"{platform.platform()}, Python {platform.python_version()}, {options.repeats} interleaved repeats")
    print(f"{options.employees:,} employees, {options.rows:,} rows; seconds: median (least-most)")
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        world = make_world(employees=options.employees, rows=options.rows, today=datetime.now(UTC).date())
        file = write_licence_file(world, directory)
        for database in options.database or ["sqlite", "postgresql"]:
            with settings_of(database, directory / database) as settings:
                asyncio.run(prepare(settings, world))
                floors, first, again, peaks = [], [], [], []
                for repeat in range(options.repeats):
                    floors.append(load_file(settings, file))
                    run = measure_import(settings, file, empty=True)
                    first.append(run.seconds)
                    same = measure_import(settings, file, empty=False)
                    again.append(same.seconds)
                    peaks += [run.peak_mib, same.peak_mib]
                    print(f"  {database} {repeat + 1}/{options.repeats}", file=sys.stderr)
                print(f"\n{database}")
                print(f"  file into a plain table (floor)  {spread(floors)}")
                print(f"  import into an empty district    {spread(first)}")
                print(f"  import of the same file again    {spread(again)}")
                ratio = statistics.median(again) / statistics.median(floors)
                print(f"  ratio of the latter to the floor {ratio:8.2f}")
                print(f"  memory when idle, MiB            {run.idle_mib:8.0f}")
                print(f"  peak memory, MiB                 {max(peaks):8.0f}")


if __name__ == "__main__":
    main()
