"""What a user would pick otherwise to get the licence file into a table, beside certsync's import of it.

The peers (`peer_scripts/`) replace a plain table by the file's text. certsync matches the file with the
roster, compares that with what is there, and replaces what differs. Each is a process of its own, from its
start; certsync's import also one by a worker that runs already, as workers do.
"""

import argparse
import asyncio
import csv
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa

from app.factory import Factory
from app.settings import Settings
from benchmarks.import_child import ImportWorker, delete_records, environment, import_command
from benchmarks.prepare import licence_file, prepare, settings_of
from benchmarks.results import Results
from benchmarks.timed import Timed, timed

SCRIPTS = Path(__file__).parent / "peer_scripts"
MOST_ROWS = 1_000_000
"""Of more, the slowest peers would take most of an hour."""
ROWS_OF_REPEATS = 100_000
"""A larger file is loaded once."""
ROWS_OF_TARGETS = 60_000
"""With fewer it is the programs' starts that are compared."""
CHANGED = 100
"""In the next file one row in so many is another."""
FIRST, NEXT, RUNNING = "certsync, first import", "certsync, next file", "certsync, next file, running worker"


@dataclass(frozen=True)
class Peer:
    """A script that fills the table of its own name; `needs` are Python modules, or `pgloader` itself."""

    name: str
    script: str
    needs: Sequence[str]
    databases: Sequence[str] = ("sqlite", "postgresql")

    def missing(self) -> list[str]:
        """Return what it needs and is not installed."""
        return [name for name in self.needs if not (shutil.which(name) or importlib.util.find_spec(name))]

    def load(self, file: Path, target: sa.URL, directory: Path) -> Timed:
        """Put the file into the table, with `directory` for whatever else it writes.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        environment = os.environ | {"DLT_DATA_DIR": str(directory), "RUNTIME__DLTHUB_TELEMETRY": "false"}
        if self.name == "pgloader":
            command = ["pgloader", "--root-dir", str(directory), str(SCRIPTS / self.script)]
            socket = f"postgresql://{target.username}@unix:{target.query['host']}:5432/{target.database}"
            environment |= {"FILE": str(file), "TARGET": f"{socket}?tablename=with_pgloader"}
        else:
            url = target.render_as_string(hide_password=False)
            command = [sys.executable, str(SCRIPTS / self.script), str(file), url]
        return timed(command, environment, directory)

    def check(self, target: sa.URL, rows: int) -> None:
        """Stop the benchmark if the table does not have the file's rows."""
        ours = target if target.drivername == "sqlite" else target.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(ours)
        with engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT count(*) FROM {Path(self.script).stem}")).scalar_one()
        engine.dispose()
        if found != rows:
            raise SystemExit(f"{self.name} loaded {found:,} of {rows:,} rows")


PEERS = (
    Peer("pandas", "with_pandas.py", ["pandas", "psycopg2"]),
    Peer("dlt", "with_dlt.py", ["dlt", "pyarrow", "psycopg2"]),
    Peer("pgloader", "with_pgloader.load", ["pgloader"], ["postgresql"]),
    Peer("ORM, row by row", "with_orm.py", ["psycopg2"]),
)


class Race:
    """certsync's imports and the peers' loads on one database, in turn."""

    def __init__(self, settings: Settings, peers: list[Peer], notes: list[str], worker: ImportWorker) -> None:
        self.settings, self.peers, self.notes, self.worker = settings, peers, notes, worker
        self.target = target_of(settings)
        self.taken: dict[str, list[Timed]] = defaultdict(list)
        self.runs: dict[str, list[float]] = defaultdict(list)

    def go_round(self, file: Path, following: Path, rows: int) -> None:
        """Import a file into an empty district, then the next one; load the latter with every peer."""
        asyncio.run(self._empty())
        self._import(FIRST, file)
        self._import(NEXT, following)
        self.worker.measure(file)  # back by one day, for the same step again
        self.runs[RUNNING].append(self.worker.measure(following).seconds)
        for peer in tuple(self.peers):
            try:
                taken = peer.load(following, self.target, self.settings.data_dir)
            except subprocess.CalledProcessError as failed:
                self.peers.remove(peer)
                self.notes.append(
                    f"{peer.name} failed, {self.target.get_backend_name()}: {failed.stderr.strip()[-500:]}"
                )
            else:
                peer.check(self.target, rows)
                self.taken[peer.name].append(taken)

    def tell(self, case: str, results: Results, *, targets: bool) -> None:
        """Put everything into the results."""
        for who, taken in self.taken.items():
            results.add(case, who, "s", [one.seconds for one in taken])
        for who, runs in self.runs.items():
            results.add(case, f"{who}: from claim to commit", "s", runs)
        for who, taken in self.taken.items():
            results.add(case, f"{who}: of the processor", "s", [one.processor_seconds for one in taken])
        for who, taken in self.taken.items():
            results.add(case, f"{who}: peak memory", "MiB", [one.peak_mib for one in taken])
        if not targets:
            return
        run = statistics.median(self.runs[RUNNING])
        for peer in self.peers:
            # As each is used: a script has to start each night, and a worker runs already.
            results.at_least(case, f"{peer.name} / certsync", median(self.taken[peer.name]) / run, 3)

    async def _empty(self) -> None:
        factory = Factory(self.settings)
        try:
            await delete_records(factory)
        finally:
            await factory.close()

    def _import(self, who: str, file: Path) -> None:
        taken = timed(import_command(file), environment(self.settings), Path.cwd())
        self.taken[who].append(taken)
        self.runs[who].append(json.loads(taken.output)["seconds"])


def median(taken: list[Timed]) -> float:
    return statistics.median(one.seconds for one in taken)


def target_of(settings: Settings) -> sa.URL:
    """Return the URL of an empty database for the peers."""
    if settings.database_url is None:
        return sa.URL.create("sqlite", database=str(settings.data_dir / "peers.db"))
    url = settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE peers")
    # psycopg 2, which SQLAlchemy fills tables with faster than with psycopg 3.
    # The host and password are for dlt, which insists on them; the socket among the parameters counts.
    return sa.make_url(url).set(
        drivername="postgresql+psycopg2", host="localhost", password="none", database="peers"
    )


def two_files(file: Path, directory: Path) -> tuple[Path, Path, int]:
    """Copy the file without rows of a wrong width, which the peers would stop at; and as the next one.

    Returns both and the number of their rows.
    """
    today, tomorrow = directory / "today.csv", directory / "tomorrow.csv"
    rows = 0
    with (
        file.open(newline="", encoding="utf-8") as text,
        today.open("w", newline="", encoding="utf-8") as first,
        tomorrow.open("w", newline="", encoding="utf-8") as following,
    ):
        reader, writer, next_writer = csv.reader(text), csv.writer(first), csv.writer(following)
        header = next(reader)
        limitation = header.index("Limitation")
        writer.writerow(header)
        next_writer.writerow(header)
        for row in reader:
            if len(row) != len(header):
                continue
            rows += 1
            writer.writerow(row)
            if rows % CHANGED == 0:
                row[limitation] = "changed"
            next_writer.writerow(row)
    return today, tomorrow, rows


def run(options: argparse.Namespace, results: Results) -> None:
    if options.rows > MOST_ROWS:
        results.notes.append(f"Not measured: a file of more than {MOST_ROWS:,} rows takes too long.")
        return
    repeats = options.repeats if options.rows <= ROWS_OF_REPEATS else 1
    results.notes += [
        f"Repeats: {repeats}; a file of more than {ROWS_OF_REPEATS:,} rows is loaded once.",
        "All read the same bytes: the file without its rows of a wrong width.",
        *(
            f"{peer.name} is left out; not installed: {', '.join(missing)}"
            for peer in PEERS
            if (missing := peer.missing())
        ),
    ]
    with tempfile.TemporaryDirectory(prefix="certsync-bench-") as name:
        directory = Path(name)
        world, file = licence_file(options.employees, options.rows, directory)
        today, tomorrow, rows = two_files(file, directory)
        for database in options.database:
            with settings_of(database, directory / database) as settings:
                asyncio.run(prepare(settings, world))
                peers = [peer for peer in PEERS if database in peer.databases and not peer.missing()]
                with ImportWorker(settings) as worker:
                    race = Race(settings, peers, results.notes, worker)
                    for repeat in range(repeats):
                        race.go_round(today, tomorrow, rows)
                        print(f"  {database} {repeat + 1}/{repeats}", file=sys.stderr)
                title = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]
                case = f"{title}, {options.employees:,} employees, {options.rows:,} rows"
                race.tell(case, results, targets=options.rows >= ROWS_OF_TARGETS)
