"""`python -m tests.fuzz`: call every operation, and read every input, with what a machine makes up."""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.api import fuzz
from tests.fuzz.instance import running_instance
from tests.support.postgres import PostgresCluster
from tests.support.processes import ROOT

DATABASES = ("sqlite", "postgresql")
READERS = tuple(
    f"tests/test_{name}.py"
    for name in ("fuzz_files", "fuzz_readers", "fuzz_matching", "parse", "layout", "crypto", "recurrence")
)
PARTS = (*DATABASES, "readers")
PASSING = re.compile(r"(\d+) passing")
"""How many examples held, in hypothesis's statistics of each test."""
EXAMPLES = 100
"""Of each operation in one round of schemathesis, which goes round until its time is over."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="of each part")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="the API on one database, or the readers; default: all"
    )
    return parser.parse_args()


@contextmanager
def database(kind: str) -> Iterator[str | None]:
    """Yield the URL of an empty PostgreSQL database; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    cluster = PostgresCluster()
    try:
        yield cluster.create_database()
    finally:
        cluster.stop()


def fuzz_api(kind: str, minutes: float, seed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="certsync-fuzz-") as name, database(kind) as url:
        directory = Path(name)
        data_dir = directory / "instance"
        data_dir.mkdir()
        with running_instance(data_dir, url) as instance:
            budget = ("--max-time", str(round(minutes * 60)), "--max-examples", str(EXAMPLES))
            told = fuzz(
                instance,
                directory,
                *budget,
                "--seed",
                str(seed),
                "--generation-database",
                "none",
                "--continue-on-failure",
            )
    print(told.text, *(f"certsync logged: {line}" for line in told.faults), sep="\n", flush=True)
    return told.good


def fuzz_readers(minutes: float, seed: int) -> bool:
    """Run the properties with other examples each round, until the time is over or one does not hold."""
    end, tried = time.monotonic() + minutes * 60, 0
    while time.monotonic() < end:
        print(f"readers, seed {seed}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", "-p", "no:cacheprovider"]
        options = ["--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"]
        made = subprocess.run(
            [*command, *options, *READERS], check=False, cwd=ROOT, capture_output=True, text=True
        )
        if made.returncode:
            print(made.stdout, made.stderr, flush=True)
            return False
        tried += sum(map(int, PASSING.findall(made.stdout)))
        print(f"{tried:,} examples; {made.stdout.splitlines()[-1]}", flush=True)
        seed += 1
    return True


def main() -> None:
    options = arguments()
    good = []
    for part in options.part or PARTS:
        print(f"{part}: {options.minutes:g} minutes, seed {options.seed}", flush=True)
        if part == "readers":
            good.append(fuzz_readers(options.minutes, options.seed))
        else:
            good.append(fuzz_api(part, options.minutes, options.seed))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
