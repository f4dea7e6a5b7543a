"""`python -m app.demo`: an import from the state's server to the PDF, on this machine, in a minute."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from app.demo.data_dir import DEFAULT, demo_directory
from app.demo.errors import DemoError
from app.demo.screen import Screen
from app.demo.tour import SERVICE_LOG, prepare, tour
from app.demo.world import World
from app.errors import ConfigurationError
from app.settings import PREFIX

LOG_LINES = 30
"""Last lines of the service's log that a failure shows."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m app.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the service running until Ctrl-C")
    parser.add_argument("--data-dir", type=Path, help=f"the demo's own directory (default: {DEFAULT})")
    parser.add_argument("--employees", type=int, default=2_000, help="people in the roster (default: 2000)")
    parser.add_argument("--rows", type=int, default=60_000, help="rows in the licence file (default: 60000)")
    return parser.parse_args()


async def until_stopped(world: World, directory: Path, screen: Screen, *, keep: bool) -> int:
    """Run the tour; Ctrl-C, SIGTERM or a closed terminal end it in order. Return the exit code.

    That is 0 for a tour that ended or was kept until it was stopped, else 128 + the signal.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:  # once: stopping takes a moment, and must not be cut short
            task.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, stop, number)
    try:
        await tour(world, directory, screen, keep=keep)
    except asyncio.CancelledError:
        if not received:
            raise
        screen.text("Stopped.")
        return 0 if keep and received[0] == signal.SIGINT else 128 + received[0]
    return 0


def tail(log: Path) -> str:
    """Return the last lines of the service's log, empty when it never started."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"The last lines of {log}:", *lines[-LOG_LINES:]]) if lines else ""


def main() -> int:
    """Run the demo and return its exit code: 0, 1 when it failed, 128 + signal when it was stopped."""
    options = arguments()
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # the demo must not write into a database that the shell has set
    screen, complaints = Screen(Console(highlight=False)), Console(stderr=True, highlight=False)
    try:
        with demo_directory(options.data_dir) as directory:
            world = prepare(directory, options.employees, options.rows, screen)
            try:
                return asyncio.run(until_stopped(world, directory, screen, keep=options.keep))
            except (DemoError, ConfigurationError, OSError) as error:
                complaints.out(f"The demo failed. {error}", tail(directory / SERVICE_LOG), sep="\n")
    except DemoError as error:
        complaints.out(f"The demo failed. {error}")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 1


if __name__ == "__main__":
    sys.exit(main())
