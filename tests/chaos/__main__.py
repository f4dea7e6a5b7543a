"""`python -m tests.chaos`: strike a whole deployment in every phase of an import, and print what was lost."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.deployment import deployed
from tests.chaos.faults import FAULTS
from tests.chaos.phases import PHASES
from tests.chaos.rounds import chaos
from tests.chaos.table import Outcome, table

DISTRICTS, EMPLOYEES, STRANGERS = 4, 200, 2_500


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="blows of each fault in each phase")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; may be repeated")
    parser.add_argument("--phase", action="append", choices=PHASES, help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=2026, help="of the writers and of whom it strikes")
    parser.add_argument("--keep", type=Path, help="an empty directory for logs, which are left there")
    return parser.parse_args()


async def run(options: argparse.Namespace, directory: Path) -> bool:
    """Strike, and print; tell whether nothing was lost and nothing went wrong."""
    plan = [
        (fault, phase)
        for fault in (FAULTS[name] for name in options.fault or FAULTS)
        for phase in fault.phases
        if phase in (options.phase or PHASES)
        for _ in range(options.times)
    ]
    outcomes: list[Outcome] = []
    not_run: dict[str, str] = {}
    async with (
        deployed(directory, DISTRICTS, EMPLOYEES, STRANGERS) as deployment,
        chaos(deployment, options.seed) as struck,
    ):
        try:
            for number, (fault, phase) in enumerate(plan, 1):
                if fault.name == "disk-full" and deployment.small_disk:
                    not_run[fault.name] = deployment.small_disk
                    continue
                began = time.monotonic()
                outcomes.append(await struck.blow(fault, phase))
                say(f"{number}/{len(plan)} {time.monotonic() - began:.0f} s", outcomes[-1])
            outcomes.append(await struck.clean())
            say("end", outcomes[-1])
        finally:
            print(f"\n{table(outcomes, not_run.items())}")
            reads, writes = struck.load.reads["read"], struck.load.writes
            accepted = sum(write.accepted for write in writes)
            print(f"\n{len(writes):,} writes, {accepted:,} accepted; {reads:,} reads of whole lists")
    return not any(outcome.lost or outcome.wrong for outcome in outcomes)


def say(progress: str, outcome: Outcome) -> None:
    """Print how far it is, and at once what was lost or wrong."""
    print(
        f"{progress}: {outcome.fault} in {outcome.phase}: writers in after {outcome.writers:.1f} s, "
        f"runs over after {outcome.runs:.1f} s",
        *(f"    LOST {text}" for text in outcome.lost),
        *(f"    wrong: {text}" for text in outcome.wrong[:20]),
        sep="\n",
        flush=True,
    )


def main() -> None:
    options = arguments()
    if options.keep:
        options.keep.mkdir(exist_ok=True)
        sys.exit(not asyncio.run(run(options, options.keep)))
    with tempfile.TemporaryDirectory(prefix="certsync-chaos-") as name:
        sys.exit(not asyncio.run(run(options, Path(name))))


if __name__ == "__main__":
    main()
