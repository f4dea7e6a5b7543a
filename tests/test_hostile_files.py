"""Files that are made to harm whoever reads them: endless rows and fields, archives, names, escapes."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from app.cli.common import Terminal
from app.cli.console import districts_table, show_inspection, show_run
from app.cli.local_import import import_local_file
from app.constants import RunKind
from app.factory import Factory
from app.failures import FileChangedWhileRead, FileUnreadable
from app.models import District
from app.pipeline.inspection import inspect_file
from app.pipeline.layout import load_layout
from app.pipeline.parse import LicenceFile
from app.services.runs import RunOptions
from app.storage import scratch
from app.storage.part_file import PartFile
from app.storage.scratch import adopt
from tests.support.commands import certsync, refused
from tests.support.imports import DISTRICT, employee, row, write_file
from tests.support.runs import ended_run

VT = load_layout("vt_alis")
HEADER = b"EducatorID,LastName,FirstName,LicenseNumber,LicenseStatus,Limitation\n"
ROW = b"7,Roy,Ann,L1,ACT,\n"
GIGABYTE = 1 << 30
MEBIBYTES = 400
"""Address space of a process that reads a file; the interpreter with the program needs most of it."""
READ = f"""
import resource, sys
from pathlib import Path
from app.failures import FileMissingColumns, FileUnreadable
from app.pipeline.layout import load_layout
from app.pipeline.parse import LicenceFile
layout = load_layout("vt_alis")
resource.setrlimit(resource.RLIMIT_AS, ({MEBIBYTES << 20}, {MEBIBYTES << 20}))
try:
    with LicenceFile(Path(sys.argv[1]), layout) as file:
        for _ in file.batches(): pass
        print(file.counts.importable, "imported")
except (FileMissingColumns, FileUnreadable) as failure:
    print(failure.message)
"""


def what_comes_of(path: Path) -> str:
    """Read a file in a process with little memory."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout.strip()


def written(path: Path, parts: Iterable[bytes], size: int | None = None) -> Path:
    """Write a file; `size` makes it longer by a hole, which costs no disk."""
    with path.open("wb") as file:
        file.writelines(parts)
    if size:
        os.truncate(path, size)
    return path


MILLIONS = [b"," * 1_000_000] * 10
HUGE = {
    "ten million columns in the header": ([HEADER[:-1], *MILLIONS, b"\n", ROW], None, "line of over 64 KiB"),
    "ten million columns in a row": ([HEADER, b"7", *MILLIONS, b"\n", ROW], None, "line of over 64 KiB"),
    "ten million columns in lines of one row": (
        [HEADER, b'x,"\n', *[b'"' + b"," * 60_000 + b'"\n'] * 170, b'"\n', ROW],
        None,
        "1 imported",
    ),
    "a gigabyte in a field": ([HEADER, b"7,", b"x" * 200_000], GIGABYTE, "line of over 64 KiB"),
    "a gigabyte in a quoted field": ([HEADER, b'7,"', b"x" * 200_000], GIGABYTE, "line of over 64 KiB"),
    "a gigabyte of nothing": ([HEADER, ROW], GIGABYTE, "zero bytes"),
    "a field of many lines": ([HEADER, b'7,"', *[b"x" * 60_000 + b"\n"] * 300, ROW], None, "1 imported"),
    "a field of blanks": ([HEADER, *[b'" ', b" " * 60_000, b'",\n'] * 300, ROW], None, "1 imported"),
    "nothing but delimiters": ([HEADER, *[b"," * 60_000 + b"\n"] * 300, ROW], None, "1 imported"),
    "nothing but quotation marks": ([HEADER, *[b'"' * 60_001 + b"\n"] * 150, ROW], None, "1 imported"),
}


@pytest.mark.parametrize("what", HUGE)
def test_no_size_costs_more_than_its_share_of_memory(tmp_path: Path, what: str) -> None:
    parts, size, expected = HUGE[what]
    assert expected in what_comes_of(written(tmp_path / "x.csv", parts, size))


def zipped() -> bytes:
    """An archive of 8 MB of the licence file; a bomb is the same, with larger numbers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Curr_Lic_Eds_End_Limits_20260105.csv", HEADER + ROW * 400_000)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("licences.csv"))
    return buffer.getvalue()


ARCHIVES = {
    "zip": (zipped(), "zip archive"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "zip archive"),
    "gzip": (gzip.compress(HEADER + ROW * 400_000), "compressed with gzip"),
    "bzip2": (bz2.compress(HEADER), "compressed with bzip2"),
    "xz": (lzma.compress(HEADER), "compressed with xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "compressed with zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z archive"),
    "RAR": (b"Rar!\x1a\x07\x01\x00", "RAR archive"),
    "tar": (tarred(), "control characters"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_are_refused_and_never_unpacked(tmp_path: Path, kind: str) -> None:
    content, words = ARCHIVES[kind]
    path = written(tmp_path / "Curr_Lic_Eds_End_Limits_20260105.csv", [content])
    with pytest.raises(FileUnreadable, match=words):
        LicenceFile(path, VT)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    """A pipe would wait for its writer, /dev/zero would not end."""
    path = Path("/dev/zero") if kind == "device" else tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    with pytest.raises(FileUnreadable, match="not a regular file"):
        LicenceFile(path, VT)
    if kind == "pipe":
        refused(certsync(tmp_path, "inspect", str(path)), "not a regular file")
    with pytest.raises(FileUnreadable, match="not a regular file"):
        adopt(path, tmp_path / "copy", 100)


@pytest.mark.parametrize("change", [1, -1, 0])
def test_a_file_that_changes_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    """It grows, it shrinks, or another content of the same length takes its place."""
    source = written(tmp_path / "x.csv", [b"x" * 3_000_000])
    os.utime(source, (1_000_000_000, 1_000_000_000))

    class Watched(PartFile):
        def write(self, chunk: bytes) -> None:
            if not self.size:
                if change:
                    os.truncate(source, 3_000_000 + change)
                else:
                    source.write_bytes(b"y" * 3_000_000)
            super().write(chunk)

    monkeypatch.setattr(scratch, "PartFile", Watched)
    with pytest.raises(FileChangedWhileRead):
        adopt(source, tmp_path / "copy", 100_000_000)
    assert list(tmp_path.iterdir()) == [source]


def shown(terminal: Terminal) -> str:
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


@pytest.fixture
def terminal() -> Terminal:
    terminal = Terminal()
    terminal.file = io.StringIO()
    terminal.width = 400
    return terminal


EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.\u2066[bold]:skull:\r\x08"
NAMES = {
    "escapes": os.fsencode(f"Curr_Lic_Eds_End_Limits_20260105.{EVIL}"),
    "no UTF-8": b"Curr_\xff\xfe.csv",
    "half a character": b"x\xed\xa0\x80.csv",
    "long": b"Curr_Lic_Eds_End_Limits_20260105." + b"\xff" * 222,
    "dots": b"..20260105..csv",
    "quotes": b"'; DROP TABLE run; --\".csv",
    "line end": b"a\nb.csv",
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_local_file_of_any_name_is_imported(
    factory: Factory, terminal: Terminal, tmp_path: Path, name: str
) -> None:
    await factory.employees.put_all(DISTRICT, [employee("1", "7", "Roy", "Ann")])
    path = write_file(tmp_path, [row("7", "Roy", "Ann")]).rename(tmp_path / os.fsdecode(NAMES[name]))
    run, _ = await import_local_file(factory, terminal, path, DISTRICT, "a test", RunOptions())
    assert run.status == "succeeded", run.failure_message
    assert run.file_name
    assert run.file_name.isprintable()
    assert len(run.file_name) <= 255
    assert run.task_description.startswith("Import of ")
    assert run.task_description.isprintable()


def steers_nothing(text: str) -> bool:
    return text.replace("\n", "").isprintable()


def test_a_terminal_is_not_steered_by_a_file(tmp_path: Path, terminal: Terminal) -> None:
    cell = EVIL.replace("\r", "")
    rows = [row("7", cell, "Ann", f"L{cell}", EndorsementCode=cell), row(cell, "Roy", "Ann")]
    rows.append(row("8", "Roy", "Ann", LicenseStatus=f"S{cell}"))
    path = write_file(tmp_path, rows).rename(tmp_path / f"x{cell}.csv")
    show_inspection(terminal, path, inspect_file(path, VT))
    assert steers_nothing(shown(terminal))
    assert shown(terminal).count(r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.\u2066[bold]:skull:") >= 5


def test_a_terminal_is_not_steered_by_what_is_stored(terminal: Terminal) -> None:
    terminal.print(districts_table([District(id="d", name=EVIL, state="VT", timezone="UTC")]))
    run = ended_run(kind=RunKind.IMPORT, summary=None, failure_code="x", failure_message=EVIL)
    show_run(terminal, run, f"/reports/{EVIL}")
    assert steers_nothing(shown(terminal))
    assert shown(terminal).count(":skull:") == 3


def test_a_terminal_is_not_steered_by_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "x\x1b]0;owned\x07.csv"
    os.mkfifo(path)
    told = certsync(tmp_path, "inspect", str(path)).stderr
    assert r"x\x1b]0;owned\x07.csv is not a regular file" in told
    assert steers_nothing(told)
