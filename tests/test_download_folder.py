import errno
import hashlib
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from app.failures import FileTooLarge, FileUnreadable, InternalFailure
from app.storage.download_folder import DownloadFolder
from app.storage.part_file import PartFile

HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> DownloadFolder:
    return DownloadFolder(tmp_path / "data" / "downloads")


def stored(folder: DownloadFolder, district: str = "north", *, hours_old: float = 0) -> str:
    path = folder.new_path(district)
    path.write_bytes(b"content")
    os.utime(path, (time.time() - hours_old * 3600,) * 2)
    return path.name


def test_names_are_made_here_and_directories_are_private(folder: DownloadFolder, tmp_path: Path) -> None:
    first, second = folder.new_path("north"), folder.new_path("north")
    assert first != second
    assert first == folder.path("north", first.name)
    assert first.parent == tmp_path / "data/downloads/north"
    assert {p.stat().st_mode & 0o777 for p in (first.parent, first.parent.parent)} == {0o700}


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 32 + "\n", "a" * 32 + ".part"]
)
def test_other_names_are_refused(folder: DownloadFolder, name: str) -> None:
    for use in (folder.path, folder.remove, folder.quarantine):
        with pytest.raises(ValueError, match="stored file"):
            use("north", name)


@pytest.mark.parametrize("district", ["", ".", "..", "a/b", "../x", "a\n", "-x", "/etc"])
def test_other_districts_are_refused(folder: DownloadFolder, district: str) -> None:
    with pytest.raises(ValueError, match="district"):
        folder.new_path(district)
    with pytest.raises(ValueError, match="district"):
        folder.path(district, "a" * 32)


def test_quarantine_moves_aside_and_can_be_repeated(folder: DownloadFolder) -> None:
    name = stored(folder)
    folder.quarantine("north", name)
    folder.quarantine("north", name)
    assert not folder.path("north", name).exists()
    assert folder.path("north", name, quarantined=True).read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        folder.quarantine("north", "0" * 32)


def test_remove_takes_both_and_is_content_with_none(folder: DownloadFolder) -> None:
    retained, refused = stored(folder), stored(folder)
    folder.quarantine("north", refused)
    for name in (retained, refused, "0" * 32):
        folder.remove("north", name)
    assert not folder.path("north", retained).exists()
    assert not folder.path("north", refused, quarantined=True).exists()


def test_strays_are_removed_and_nothing_else(folder: DownloadFolder) -> None:
    known, young, stray, refused = (stored(folder, hours_old=hours) for hours in (2, 0, 2, 2))
    elsewhere = stored(folder, "south", hours_old=2)
    folder.quarantine("north", refused)
    directory = folder.path("north", known).parent
    for name in (f"{'1' * 32}.part", "notes.txt"):
        (directory / name).touch()
        os.utime(directory / name, (0, 0))

    assert folder.remove_strays("north", {known}, HOUR) == 3
    assert {path.name for path in directory.iterdir()} == {known, young, "notes.txt", "quarantine"}
    assert not folder.path("north", stray).exists()
    assert not folder.path("north", refused, quarantined=True).exists()
    assert folder.path("south", elsewhere).exists()
    assert folder.remove_strays("nobody", set(), HOUR) == 0


def test_adopt_copies(folder: DownloadFolder, tmp_path: Path) -> None:
    source = tmp_path / "given.txt"
    source.write_bytes(b"x" * 3_000_000)
    received = folder.adopt("north", source, 3_000_000)
    assert received.path == folder.path("north", received.path.name)
    assert received.path.read_bytes() == source.read_bytes()
    assert (received.size, received.sha256) == (3_000_000, hashlib.sha256(b"x" * 3_000_000).hexdigest())
    assert received.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["missing", "symbolic link", "directory", "pipe"])
def test_adopt_takes_regular_files_only(folder: DownloadFolder, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "given"
    if kind == "symbolic link":
        source.symlink_to("/etc/passwd")
    elif kind == "directory":
        source.mkdir()
    elif kind == "pipe":
        os.mkfifo(source)
    with pytest.raises(FileUnreadable, match="link" if "link" in kind else "given"):
        folder.adopt("north", source, 100)


def test_adopt_has_a_limit(folder: DownloadFolder, tmp_path: Path) -> None:
    source = tmp_path / "given"
    source.write_bytes(b"x" * 101)
    with pytest.raises(FileTooLarge, match="101 bytes"):
        folder.adopt("north", source, 100)
    assert list((tmp_path / "data/downloads/north").iterdir()) == []


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
