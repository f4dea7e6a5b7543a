"""The folder of licence files, in directories of this host and in a bucket (I2)."""

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.constants import FileState
from app.models import ImportFile
from app.settings import Settings
from app.storage.download_folder import DownloadFolder, FileTampered, key
from app.storage.file_store import FileStore, LocalStore
from app.storage.object_store import ObjectStore
from tests.support.object_storage import Bucket, content, keys

RETAINED, QUARANTINED = FileState.RETAINED, FileState.QUARANTINED
CONTENT = b"a licence file\n" * 1_000_000
"""More than one part of an upload, and several chunks of a download."""
HOUR, NOW = timedelta(hours=1), timedelta(hours=-1)
"""How old a stray has to be; what was put a moment ago counts as older than `NOW`, set against its clock."""


@pytest.fixture(params=["directories", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "directories":
        return LocalStore(tmp_path / "data")
    bucket: Bucket = request.getfixturevalue("bucket")
    return ObjectStore(bucket.settings(Settings(data_dir=tmp_path)))


@pytest.fixture
def folder(store: FileStore) -> DownloadFolder:
    return DownloadFolder(store)


@pytest.fixture
def fetched(tmp_path: Path) -> Callable[[], Path]:
    """Makes a new file as a run fetches it."""

    def make() -> Path:
        path = tmp_path / uuid4().hex
        path.write_bytes(CONTENT)
        return path

    return make


def row(stored_as: str, state: FileState = RETAINED, content: bytes = CONTENT) -> ImportFile:
    return ImportFile(
        district_id="north",
        name="a.csv",
        datestamp="2026-01-05T00:00:00",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        stored_as=stored_as,
        state=state,
    )


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 32 + "\n", "a" * 32 + ".part"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="stored file"):
        key("north", name, RETAINED)


@pytest.mark.parametrize("district", ["", ".", "..", "a/b", "../x", "a\n", "-x", "/etc", ".scratch"])
def test_other_districts_are_refused(district: str) -> None:
    with pytest.raises(ValueError, match="district"):
        key(district, "a" * 32, RETAINED)


@pytest.mark.parametrize("state", FileState)
async def test_what_was_put_is_got_back(
    folder: DownloadFolder, store: FileStore, fetched: Callable[[], Path], tmp_path: Path, state: FileState
) -> None:
    path = fetched()
    await folder.put("north", path, state)
    place = f"downloads/north/{'quarantine/' if state is QUARANTINED else ''}{path.name}"
    assert await keys(store) == {place}
    assert await content(store, place) == CONTENT == path.read_bytes()
    path.unlink()
    (tmp_path / "scratch").mkdir()
    got = await folder.get(row(path.name, state), tmp_path / "scratch")
    assert got.read_bytes() == CONTENT
    await folder.put("north", got.rename(path), state)  # again, in its own place
    assert await keys(store) == {place}


async def test_a_file_that_is_gone_or_another_is_told(
    folder: DownloadFolder, store: FileStore, fetched: Callable[[], Path], tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await folder.get(row("0" * 32), tmp_path)
    path = fetched()
    for forged in (CONTENT[:-1] + b"!", CONTENT + b"more"):
        other = tmp_path / "forged"
        other.write_bytes(forged)
        await store.put(other, key("north", path.name, RETAINED))
        with pytest.raises(FileTampered):
            await folder.get(row(path.name), tmp_path)


async def test_remove_takes_what_it_is_told_and_is_content_with_none(
    folder: DownloadFolder, store: FileStore, fetched: Callable[[], Path]
) -> None:
    first, second = fetched(), fetched()
    for path in (first, second):
        for state in FileState:
            await folder.put("north", path, state)
    await folder.remove("north", first.name, RETAINED)
    await folder.remove("north", second.name)
    await folder.remove("north", "0" * 32)
    assert await keys(store) == {key("north", first.name, QUARANTINED)}


async def test_strays_are_removed_and_nothing_else(
    folder: DownloadFolder, store: FileStore, fetched: Callable[[], Path]
) -> None:
    known, aside, stray, refused, elsewhere, like_it = (fetched() for _ in range(6))
    for path, state in ((known, RETAINED), (aside, QUARANTINED), (stray, RETAINED), (refused, QUARANTINED)):
        await folder.put("north", path, state)
    await folder.put("north", aside, RETAINED)  # a second copy of it, which no row knows
    await folder.put("south", elsewhere, RETAINED)
    await folder.put("northern", like_it, RETAINED)
    for name in (f"{'1' * 32}.part", "notes.txt"):
        await store.put(known, f"downloads/north/{name}")
    rows = [row(known.name), row(aside.name, QUARANTINED)]
    before = await keys(store)

    assert await folder.remove_strays("north", rows, HOUR) == 0  # all of it is too young
    assert await keys(store) == before
    assert await folder.remove_strays("north", rows, NOW) == 4
    assert await keys(store) == {
        key("north", known.name, RETAINED),
        key("north", aside.name, QUARANTINED),
        "downloads/north/notes.txt",
        key("south", elsewhere.name, RETAINED),
        key("northern", like_it.name, RETAINED),
    }
    assert await folder.remove_strays("nobody", [], NOW) == 0


async def test_directories_are_private_and_nothing_is_copied(
    fetched: Callable[[], Path], tmp_path: Path
) -> None:
    store, path = LocalStore(tmp_path / "data"), fetched()
    path.chmod(0o600)
    os.utime(path, (0, 0))
    await DownloadFolder(store).put("north", path, QUARANTINED)
    stored = tmp_path / "data" / "downloads" / "north" / "quarantine" / path.name
    assert stored.samefile(path)
    directories = [tmp_path / "data", *(tmp_path / "data").rglob("*/")]
    assert {directory.stat().st_mode & 0o777 for directory in directories if directory.is_dir()} == {0o700}
    assert await DownloadFolder(store).remove_strays("north", [], HOUR) == 0  # its age counts from now on


async def test_without_links_a_copy_is_made(
    fetched: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)  # as on a file system without links
    store, path = LocalStore(tmp_path / "data"), fetched()
    await store.put(path, "downloads/north/x")
    (stored,) = (tmp_path / "data" / "downloads" / "north").iterdir()
    assert not stored.samefile(path)
    assert (stored.read_bytes(), stored.stat().st_mode & 0o777) == (CONTENT, 0o600)


async def test_a_symbolic_link_is_no_stored_file(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "x.pdf").symlink_to("/etc/passwd")
    with pytest.raises(FileNotFoundError):
        await LocalStore(tmp_path).open("reports/x.pdf")
