"""`certsync person`, as an operator meets it."""

import json
import subprocess
from pathlib import Path

import pytest

from app.cli.common import harmless_json
from tests.support.commands import certsync, refused, succeeded
from tests.support.imports import row, write_file

HEADER = "employee_number,state_staff_id,last_name,first_name,status\n"
LINE = "N77,45127,Quillfeather,Zyxwora,{}\n"


def person(instance: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return certsync(instance, "person", *words)


def load(instance: Path, status: str) -> None:
    roster = instance / "roster.csv"
    roster.write_text(HEADER + LINE.format(status))
    succeeded(certsync(instance, "employees", "load", str(roster)))
    roster.unlink()


@pytest.fixture
def instance(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A data directory with one employee, of whom one damaged file was imported."""
    (tmp_path / "certsync.db").write_bytes(migrated_sqlite.read_bytes())
    succeeded(certsync(tmp_path, "migrate"))
    load(tmp_path, "active")
    mine = row("45127", "Quillfeather", "Zyxwora", Limitation="a~b")
    path = write_file(tmp_path / "state", [mine])
    with path.open("ab") as file:
        file.write(b"45127,Quillfeather,Zyxwora,\x81\xff\r\n")
    words = ["import", str(path)]
    succeeded(certsync(tmp_path, *words, CERTSYNC_MAX_REJECTED_PERCENT="100"))
    return tmp_path


def test_a_person_is_exported_to_a_private_file_once(instance: Path) -> None:
    target = instance / "export.json"
    told = succeeded(person(instance, "export", "--employee", "N77", "--output", str(target)))
    assert f"{target.stat().st_size:,} bytes" in told
    assert "Quillfeather" not in told
    assert target.stat().st_mode & 0o077 == 0
    document = json.loads(target.read_bytes())
    assert document["format"] == "certsync-person/1"
    [file] = document["licence_files"]
    assert [line["line"] for line in file["lines"]] == [2, 3]
    again = person(instance, "export", "--employee", "N77", "--output", str(target))
    refused(again, "File exists")
    assert json.loads(succeeded(person(instance, "export", "--educator-id", "0045127"))).keys() == (
        document.keys()
    )


def test_an_erasure_is_told_first_and_done_when_confirmed(instance: Path) -> None:
    first = person(instance, "erase", "--employee", "N77")
    assert first.returncode == 1
    for text in (
        "Would be erased of employee N77:",
        "Nothing was erased",
        "--even-if-active",
        "--delete-files",
    ):
        assert text in first.stdout
    assert "Quillfeather" not in first.stdout
    refused(person(instance, "erase", "--employee", "N77", "--yes"), "--even-if-active")
    load(instance, "terminated")
    refused(person(instance, "erase", "--employee", "N77", "--yes"), "--keep-files")
    done = succeeded(person(instance, "erase", "--employee", "N77", "--yes", "--delete-files"))
    assert "Erased of employee N77:" in done
    assert "Backups" in done
    left = [
        path for path in instance.rglob("*") if path.is_file() and not path.is_relative_to(instance / "state")
    ]
    assert [path for path in left if b"quillfeather" in path.read_bytes().lower()] == []
    again = succeeded(person(instance, "erase", "--employee", "N77", "--yes"))
    assert "Nothing is stored of employee N77." in again


@pytest.mark.parametrize(
    "words", [[], ["--employee", "1", "--educator-id", "2"], ["--employee", " "], ["--educator-id", "00"]]
)
def test_one_person_has_to_be_named(tmp_path: Path, words: list[str]) -> None:
    for command in ("export", "erase"):
        assert person(tmp_path, command, *words).returncode == 2


def test_an_unknown_district_is_refused(instance: Path) -> None:
    refused(person(instance, "export", "--employee", "1", "--district", "nowhere"), "nowhere")


def test_an_export_that_cannot_be_written_is_no_export(instance: Path) -> None:
    nowhere = str(instance / "no" / "x")
    refused(person(instance, "export", "--employee", "N77", "--output", nowhere), "No such file or directory")
    assert "exported" not in succeeded(certsync(instance, "audit", "export"))
    target = instance / "export.json"
    refused(person(instance, "export", "--educator-id", "1", "--district", "x", "--output", str(target)), "x")
    assert not target.exists()


def test_what_a_terminal_obeys_is_written_as_escapes(instance: Path) -> None:
    name = "Quill\u202e\U000e0001\u00e9"
    roster = instance / "roster.csv"
    roster.write_text(HEADER + f"N78,1,{name},Zyx,active\n")
    succeeded(certsync(instance, "employees", "load", str(roster)))
    for words in (["person", "export"], ["audit", "export"]):
        text = succeeded(certsync(instance, *words, "--employee", "N78"))
        assert "Quill\\u202e\\udb40\\udc01\u00e9" in text
        assert text.replace("\n", "").isprintable()
        said = [json.loads(part) for part in ([text] if words[0] == "person" else text.splitlines())]
        assert name in json.dumps(said, ensure_ascii=False)


def test_json_says_the_same_with_escapes() -> None:
    text = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA1), 0xAD, 0x202E, 0xDCFF, 0xE0001, 0xE9]))
    written = harmless_json(json.dumps({"a": text}, ensure_ascii=False, indent=1))
    assert written.replace("\n", "").isprintable()
    assert "\u00e9" in written
    assert json.loads(written) == {"a": text}


@pytest.mark.parametrize(
    "words",
    [["person", "export", "--employee", "\udcff"], ["audit", "list", "--actor", "\udcff"]],
)
def test_an_argument_that_is_no_text_is_refused(instance: Path, words: list[str]) -> None:
    refused(certsync(instance, *words), "not UTF-8")
