"""The demo's own directory: emptied at the next start, never shared, never anybody else's."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from app.demo.errors import DemoError

DEFAULT = Path("var/demo")
MOST_AT_ONCE = 9
MARKER = ".certsync-demo"
"""A file that only the demo makes; whoever holds its lock has the directory."""


@contextmanager
def demo_directory(chosen: Path | None) -> Iterator[Path]:
    """Claim and empty `chosen`, and give its absolute path; what is left in it stays until the next demo.

    Without a choice it is `var/demo`, or `var/demo-2` … while other demos run. Raises DemoError when the
    directory holds what the demo did not make, is in use, or cannot be made.
    """
    numbered = (DEFAULT.with_name(f"{DEFAULT.name}-{number}") for number in range(2, MOST_AT_ONCE + 1))
    for directory in [chosen] if chosen else [DEFAULT, *numbered]:
        try:
            lock = _claim(directory)
        except OSError as error:
            raise DemoError(f"Cannot use {directory}: {error.strerror}. Choose another one.") from error
        if lock:
            with lock:
                _empty(directory)
                yield directory.resolve()
            return
    raise DemoError(f"Another demo is running in {chosen or DEFAULT}. Choose another place with --data-dir.")


def _claim(directory: Path) -> IO[str] | None:
    """Return the locked marker, None when another demo has it. Raises DemoError if it is not the demo's."""
    directory.mkdir(parents=True, exist_ok=True)
    marker = directory / MARKER
    if not marker.exists() and any(directory.iterdir()):
        raise DemoError(f"{directory} holds files that are not the demo's. Choose another with --data-dir.")
    lock = marker.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()
