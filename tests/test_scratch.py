"""Files of runs in progress on their host: whole or not at all, and gone afterwards, even after a kill."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.failures import FileTooLarge, FileUnreadable, InternalFailure
from app.settings import Settings
from app.storage.part_file import PartFile
from app.storage.scratch import adopt, new_path, scratch_directory
from tests.support.processes import ROOT

OTHER_RUN = """
import sys
from pathlib import Path
from app.settings import Settings
from app.storage.scratch import new_path, scratch_directory
with scratch_directory(Settings(data_dir=Path(sys.argv[1]))) as scratch:
    new_path(scratch).write_bytes(b"half of it")
    print(scratch, flush=True)
    sys.stdin.read()
"""


def test_it_is_private_and_goes_with_the_run(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_directory(Settings(data_dir=tmp_path)) as scratch:
            assert {path.stat().st_mode & 0o777 for path in (scratch, scratch.parent)} == {0o700}
            first, second = new_path(scratch), new_path(scratch)
            assert first != second
            first.write_bytes(b"x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((tmp_path / "downloads" / ".scratch").iterdir()) == []


def test_a_lock_that_cannot_be_opened_is_left_alone(tmp_path: Path) -> None:
    """As that of another user's process, which root would open."""
    with scratch_directory(Settings(data_dir=tmp_path)) as scratch:
        theirs = scratch.parent / "theirs.lock"
        theirs.symlink_to(tmp_path / "nowhere")
    with scratch_directory(Settings(data_dir=tmp_path)) as scratch:
        assert scratch.is_dir()
    assert theirs.is_symlink()


def test_that_of_a_killed_process_is_removed_and_of_a_living_one_not(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER_RUN, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        with scratch_directory(settings) as scratch:
            assert theirs.is_dir()
            assert scratch != theirs
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert [path.name for path in theirs.iterdir()] != []
        with scratch_directory(settings) as scratch:
            assert {path.stem for path in scratch.parent.iterdir()} == {scratch.name}


def test_a_lock_without_a_directory_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "downloads" / ".scratch"
    root.mkdir(parents=True)
    (root / "0.lock").touch()
    with scratch_directory(Settings(data_dir=tmp_path)):
        assert not (root / "0.lock").exists()


def test_adopt_copies(tmp_path: Path) -> None:
    source, path = tmp_path / "given.txt", tmp_path / "copy"
    source.write_bytes(b"x" * 3_000_000)
    received = adopt(source, path, 3_000_000)
    assert received.path == path
    assert path.read_bytes() == source.read_bytes()
    assert (received.size, received.sha256) == (3_000_000, hashlib.sha256(b"x" * 3_000_000).hexdigest())
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["missing", "symbolic link", "directory", "pipe"])
def test_adopt_takes_regular_files_only(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "given"
    if kind == "symbolic link":
        source.symlink_to("/etc/passwd")
    elif kind == "directory":
        source.mkdir()
    elif kind == "pipe":
        os.mkfifo(source)
    with pytest.raises(FileUnreadable, match="link" if "link" in kind else "given"):
        adopt(source, tmp_path / "copy", 100)


def test_adopt_has_a_limit(tmp_path: Path) -> None:
    source = tmp_path / "given"
    source.write_bytes(b"x" * 101)
    with pytest.raises(FileTooLarge, match="101 bytes"):
        adopt(source, tmp_path / "copy", 100)
    assert list(tmp_path.iterdir()) == [source]


def test_part_becomes_a_file_only_when_finished(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with PartFile(path) as part:
        part.write(b"half")
        assert (tmp_path / "f.part").exists()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # a disk that is really full needs a mount
    with PartFile(tmp_path / "f") as part:
        part.write(b"data")
        with pytest.raises(InternalFailure, match="Make room") as caught:
            part.sync()
    assert caught.value.diagnosis["error"] == "No space left on device"
    assert list(tmp_path.iterdir()) == []
