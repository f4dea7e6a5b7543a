"""`python -m benchmarks.timed PROGRAM ARGUMENT ...`: a program's time and memory, from its start to its end.

It is a process between the benchmark and the program: the system's count of a child's peak memory begins with
what its parent had, and this parent is smaller than anything that is measured.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timed:
    """Seconds by the clock and of the processor, peak memory in MiB, and the last line that was printed."""

    seconds: float
    processor_seconds: float
    peak_mib: float
    output: str


def timed(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Timed:
    """Run a program in `directory` and return what it took.

    Raises:
        subprocess.CalledProcessError: it failed; `stderr` has its own words.
    """
    done = subprocess.run(
        [sys.executable, __file__, *command],
        cwd=directory, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    *printed, measured = done.stdout.splitlines()
    return Timed(**json.loads(measured), output=printed[-1] if printed else "")


def main(command: list[str]) -> int:
    """Run the program, print what it took as JSON, and return its exit code."""
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    measured = {
        "seconds": time.perf_counter() - began,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }
    print(json.dumps(measured))
    return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
