"""`python -m benchmarks [PART …]`: every part prints a table and writes JSON; see README.md."""

import argparse
import platform
from pathlib import Path

from benchmarks import (
    api,
    imports,
    lock_window,
    many_districts,
    peers,
    report,
    sftp,
    soak,
    write_latency,
)
from benchmarks.results import Results

MEASURED = {
    "imports": imports.run,
    "lock-window": lock_window.run,
    "report": report.run,
    "sftp": sftp.run,
    "peers": peers.run,
    "api": api.run,
}
"""Parts with targets: they write JSON for `docs/performance.md`, and run when no part is named."""
WATCHED = {
    "write-latency": write_latency.run,
    "many-districts": many_districts.run,
    "soak": soak.run,
}
"""Parts that print what a whole deployment does for a while."""
SIZES = {
    "small": (5_000, 60_000),
    "sqlite": (25_000, 300_000),
    "medium": (150_000, 600_000),
    "large": (300_000, 1_000_000),
    "largest": (500_000, 2_000_000),
}
"""Employees, and rows of the licence file; `sqlite` is the most that SQLite is recommended for."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=", ".join(MEASURED | WATCHED))
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--employees", type=int, help="instead of the size's")
    parser.add_argument("--rows", type=int, help="instead of the size's")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30, help="of load, for write-latency and soak")
    parser.add_argument("--districts", type=int, default=1_000, help="for many-districts")
    parser.add_argument("--workers", type=int, default=4, help="for many-districts")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--percent", type=int, action="append", help="changed, for imports and lock-window")
    parser.add_argument("--skipped", type=int, action="append", help="employees, for report")
    parser.add_argument("--go", type=float, default=3.0, help="seconds of one go with requests, for api")
    parser.add_argument("--json", type=Path, default=Path("var/bench"), help="directory of the JSON")
    options = parser.parse_args()
    if unknown := set(options.part) - (MEASURED | WATCHED).keys():
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(MEASURED | WATCHED)}")
    employees, rows = SIZES[options.size]
    options.employees = options.employees or employees
    options.rows = options.rows or rows
    options.database = options.database or ["sqlite", "postgresql"]
    return options


def main() -> None:
    options = arguments()
    print(f"{platform.platform()}, Python {platform.python_version()}, {options.repeats} interleaved repeats")
    for name in options.part or MEASURED:
        print(f"\n== {name} ==")
        if name in WATCHED:
            WATCHED[name](options)
            continue
        results = Results(name, {key: str(value) for key, value in vars(options).items() if key != "part"})
        MEASURED[name](options, results)
        print(results.table())
        results.write(options.json / f"{name}-{options.size}.json")


if __name__ == "__main__":
    main()
