import codecs
import csv
import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.failures import FileUnreadable
from app.pipeline.dates import DateReader
from app.pipeline.inspection import inspect_file
from app.pipeline.layout import load_layout
from app.pipeline.parse import MAX_STATUSES, OTHER_STATUSES, Batch, LicenceFile, LicenceRow, RowCounts
from app.pipeline.text_format import CHUNK, examine, visible

VT = load_layout("vt_alis")
HEADER = ["EducatorID", "LastName", "FirstName", "LicenseNumber", "LicenseStatus", "Limitation"]
CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(" \",;|\t\r\n'Éß"), max_size=12
)
ROW = st.tuples(
    st.integers(1, 10**10 - 1).map(str), CELL, CELL, st.just("L1"), st.sampled_from(["ACT", "EXP"]), CELL
)


def write(path: Path, rows: list[list[str]], **dialect: str | int) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **dialect).writerows([HEADER, *rows])  # type: ignore[arg-type]
    return path


def read(path: Path, size: int = 5000) -> tuple[list[Batch], RowCounts]:
    with LicenceFile(path, VT) as file:
        return list(file.batches(size=size)), file.counts


def rows_of(batches: list[Batch]) -> list[LicenceRow]:
    return [row for batch in batches for row in batch.rows]


def words(text: str) -> str:
    return " ".join(text.split())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    table=st.lists(ROW, min_size=1, max_size=8),
    delimiter=st.sampled_from(",\t|;"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    size=st.integers(1, 9),
)
def test_what_csv_writes_is_read_back(
    tmp_path: Path, table: list[tuple[str, ...]], delimiter: str, end: str, size: int
) -> None:
    # With another end of line, csv's writer leaves the other line breaks in a cell unquoted.
    quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    rows = [list(row) for row in table]
    path = write(tmp_path / "x.csv", rows, delimiter=delimiter, lineterminator=end, quoting=quoting)
    batches, counts = read(path, size)
    expected = [
        (ident, words(last), words(first), limitation.strip() or None)
        for ident, last, first, _, status, limitation in table
        if status == "ACT"
    ]
    found = rows_of(batches)
    assert [(row.educator_id, row.last_name, row.first_name, row.limitation) for row in found] == expected
    assert counts.read == len(table)
    assert counts.read == counts.rejected + counts.importable + sum(counts.other_status.values())
    assert found == rows_of(read(path)[0])
    assert all(len(batch.rows) + len(batch.rejections) <= size for batch in batches)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 3))
def test_line_numbers_are_where_a_row_starts(tmp_path: Path, breaks: list[int], blank: int) -> None:
    path = tmp_path / "x.csv"
    text, line, expected = ",".join(HEADER) + "\n", 2, []
    for count in breaks:
        text += "\n" * blank + f'7,A,B,L1,ACT,"x{chr(10) * count}y"\n'
        expected.append(line + blank)
        line += blank + 1 + count
    path.write_text(text)
    assert [row.line for row in rows_of(read(path)[0])] == expected


def test_the_early_filter_leaves_counts_and_rejections_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [[str(n), "A", "B", "L" * (n % 3), "ACT", ""] for n in range(1, 50)])
    asked = []

    def wanted(educator: str, names: str | None) -> bool:
        asked.append((educator, names))
        return educator == "7"

    with LicenceFile(path, VT) as file:
        batches = list(file.batches(wanted))
        assert [row.educator_key for row in rows_of(batches)] == ["7"]
        assert (file.counts.read, file.counts.importable, file.counts.rejected) == (49, 33, 16)
        assert sum(len(batch.rejections) for batch in batches) == 16
    assert asked[0] == ("1", "a\x1fb")


def test_a_byte_far_behind_decides_the_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [[str(n), "Ann", "B", "L1", "ACT", ""] for n in range(1, 20000)])
    with path.open("ab") as file:
        file.write("7,Renée,B,L1,ACT,\n".encode("cp1252"))
    batches, _ = read(path)
    assert rows_of(batches)[-1].last_name == "Renée"


@pytest.mark.parametrize("shift", range(4))
def test_a_character_across_two_chunks_is_whole(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\n" + b"x" * (CHUNK - 4 + shift) + "€\n".encode())
    assert examine(path).encoding == "utf-8"


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", True), ("windows-1252", False)])
def test_a_layout_may_fix_the_encoding(tmp_path: Path, encoding: str, expected: bool) -> None:
    path = tmp_path / "x"
    path.write_bytes("a,Renée\n".encode("cp1252"))
    assert examine(path, encoding).encoding == encoding
    assert examine(path, encoding).damaged is expected


def test_a_byte_order_mark_decides(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(codecs.BOM_UTF8 + b"a\xe9\n")
    assert examine(path).encoding == "utf-8-sig"
    assert examine(path).damaged


def test_statuses_without_end_are_counted_together(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [["7", "A", "B", "L1", f"S{n}", ""] for n in range(MAX_STATUSES + 20)])
    _, counts = read(path)
    assert len(counts.other_status) == MAX_STATUSES + 1
    assert counts.other_status[OTHER_STATUSES] == 20


def test_words_for_no_expiration() -> None:
    dates = DateReader(("M/D/YYYY",), ("Life", "12/31/9999"))
    assert [dates(" LIFE "), dates("12/31/9999"), dates(""), dates("1/2/2030")] == [
        None,
        None,
        None,
        "2030-01-02",
    ]
    with pytest.raises(ValueError, match="M/D/YYYY"):
        dates("forever")


def test_what_does_not_print_is_shown() -> None:
    assert visible("a\0b\n\udce9\u202e") == "a\\x00b\\n\\xe9\\u202e"
    assert len(visible("x" * 500)) == 200


def test_inspection(tmp_path: Path) -> None:
    path = write(
        tmp_path / "Curr_Lic_Eds_End_Limits_20251122.csv",
        [[str(n % 30), "A", "B", "L1", "ACT", ""] for n in range(900)],
    )
    found = inspect_file(path, VT)
    assert (found.layout, found.encoding, found.delimiter) == ("vt_alis", "utf-8", ",")
    assert found.datestamp is not None
    assert [row.line for row in found.first_rows] == list(range(3, 13))
    assert len(found.rejections) == 20
    assert (found.counts.read, found.counts.rejected) == (900, 30)
    assert found.mapping["Limitation"] == "Limitation"


def test_a_file_of_one_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"EducatorID," * 20000)
    with pytest.raises(FileUnreadable, match="line of over 64 KiB"):
        read(path)


MEASURE = """
import sys
import weakref
from pathlib import Path
from app.failures import FileUnreadable
from app.pipeline.layout import load_layout
from app.pipeline.parse import LicenceFile
layout = load_layout("vt_alis")
def peak():  # not ru_maxrss, which begins with that of the process that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
try:
    with LicenceFile(Path(sys.argv[1]), layout) as file:
        for _ in file.batches(): pass
        print(file.counts.rejected, end=" ")
except FileUnreadable:
    print("refused", end=" ")
print(peak() - before)
"""
GROWTH_KIB = 48 * 1024
"""What reading any file may add to the memory of a process."""


def measure(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    outcome, growth = done.stdout.split()
    assert int(growth) < GROWTH_KIB
    return outcome


def test_memory_of_a_huge_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes((",".join(HEADER) + "\n").encode() + b"7,A,B,L1,ACT," + b"x" * (64 << 20))
    assert measure(path) == "refused"


def test_memory_of_an_unclosed_quote_which_costs_its_own_row_only(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    row = "7,A,B,L1,ACT," + "limit " * 20 + "\n"
    path.write_text(",".join(HEADER) + '\n7,"A,B,L1,ACT,\n' + row * 200_000)
    assert measure(path) == "1"


def test_memory_of_a_record_with_millions_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    wide = '"' + "," * 65_000 + '"\n'
    path.write_text(",".join(HEADER) + '\nx,"\n' + wide * 98 + '"\n7,A,B,L1,ACT,\n')
    assert measure(path) == "100"


def test_memory_of_wide_hostile_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        ",".join(HEADER) + "\n" + "".join(f"{n},A,B,L1,ACT,{'x' * 60_000}\n" for n in range(1, 1000))
    )
    assert measure(path) == "999"


def test_what_was_remembered_of_a_file_goes_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [["7", "Smith", "Ann", "L1", "ACT", ""]])
    gc.disable()
    try:
        with LicenceFile(path, VT) as file:
            assert len(rows_of(list(file.batches()))) == 1
        seen = weakref.ref(file)
        del file
        assert seen() is None
    finally:
        gc.enable()
