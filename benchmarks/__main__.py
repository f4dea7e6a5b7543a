"""`python -m benchmarks [PART …]`: every part prints a table; without a name those of `USUAL` run."""

import argparse
import platform

from benchmarks import imports, lock_window, many_districts, soak, write_latency

PARTS = {
    "imports": imports.run,
    "lock-window": lock_window.run,
    "write-latency": write_latency.run,
    "many-districts": many_districts.run,
    "soak": soak.run,
}
USUAL = ("imports", "lock-window", "write-latency")
"""Without a name; the others take long, and are asked for."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--employees", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30, help="of load, for write-latency and soak")
    parser.add_argument("--districts", type=int, default=1_000, help="for many-districts")
    parser.add_argument("--workers", type=int, default=4, help="for many-districts")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    options = parser.parse_args()
    if unknown := set(options.part) - PARTS.keys():
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


def main() -> None:
    options = arguments()
    print(f"{platform.platform()}, Python {platform.python_version()}, {options.repeats} interleaved repeats")
    for name in options.part or USUAL:
        print(f"\n== {name} ==")
        PARTS[name](options)


if __name__ == "__main__":
    main()
