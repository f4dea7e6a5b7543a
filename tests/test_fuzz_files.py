"""Files, layouts and dates that a machine makes up: read, or refused in words, and never half of both."""

import re
import string
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.cli.roster_csv import read_employees
from app.errors import ConfigurationError, ValidationFailedError
from app.failures import FileMissingColumns, FileUnreadable
from app.pipeline.cells import MAX_ID_DIGITS
from app.pipeline.columns import find_columns
from app.pipeline.dates import FIRST_YEAR, LAST_YEAR, DateReader, compile_format
from app.pipeline.layout import FIELDS, REQUIRED, Layout, LayoutError, load_layout, parse_layout
from app.pipeline.parse import Batch, LicenceFile, RowCounts
from app.pipeline.printable import Printable
from app.pipeline.text_format import examine, visible
from tests.support.fuzzing import ANY, ODD, same

VT = load_layout("vt_alis")
HEAD = ",".join(FIELDS).encode()
GOOD = b"7,Roy,Ann,,L1,Level II,ACT,07/01/2025,06/30/2030,,,,,\n"
PIECES = st.sampled_from(
    [
        *(piece.encode() for piece in ",;|\t\n\r\"'\\ \v\f"),
        *(b"\r\n", b'""', b'",', b',"', b"\0", b"\xff", b"\xc3", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\x1a"),
        *(GOOD, GOOD.strip(), b"7,Roy", b'7,"Roy\n', b"ACT", b"02/30/2025", b"0" * 40, b"x" * 5000),
        *("\uff17,Ré\udcff,\u2028".encode("utf-8", "surrogatepass"), "Renée".encode("cp1252")),
    ]
)
BYTES = st.lists(PIECES | st.binary(max_size=6), max_size=60).map(b"".join)
FILES = st.builds(
    lambda mark, head, end, body: mark + head + end + body,
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b" "]),
    st.sampled_from([HEAD, HEAD.replace(b",", b"\t"), HEAD.replace(b",", b"|"), b""]),
    st.sampled_from([b"\n", b"\r\n", b"\r", b""]),
    BYTES,
)
POSITIONAL = Layout(
    name="positional",
    file_name="x{datestamp}",
    header=False,
    columns=len(FIELDS),
    date_formats=("M/D/YYYY",),
    fields={name: at for at, name in enumerate(FIELDS, 1)},
)


def read(path: Path, layout: Layout, size: int = 5000) -> tuple[list[Batch], RowCounts] | None:
    """Everything of a file, or None when it is refused in words."""
    try:
        with LicenceFile(path, layout) as file:
            return list(file.batches(size=size)), file.counts
    except (FileUnreadable, FileMissingColumns) as failure:
        assert failure.message.isprintable()  # noqa: PT017 - it need not be raised
        return None


@same
@given(content=FILES, layout=st.sampled_from([VT, POSITIONAL]), size=st.integers(1, 9))
@example(b"\xef\xbb\xbf", VT, 1)
@example(HEAD + b'\n"' + GOOD * 200, VT, 7)
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes, layout: Layout, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = read(path, layout, size)
    if found is None:
        return
    batches, counts = found
    assert counts.read == counts.rejected + counts.importable + sum(counts.other_status.values())
    rows = [row for batch in batches for row in batch.rows]
    rejections = [rejection for batch in batches for rejection in batch.rejections]
    assert (len(rows), len(rejections)) == (counts.importable, counts.rejected)
    lines = [*(row.line for row in rows), *(rejection.line for rejection in rejections)]
    assert len(set(lines)) == len(lines)
    assert all(0 < line <= 1 + len(re.findall(rb"[\r\n]", content)) for line in lines)
    for row in rows:
        assert re.fullmatch(f"[1-9][0-9]{{0,{MAX_ID_DIGITS - 1}}}", row.educator_key)
        assert row.status in VT.statuses
        for text in row[1:]:
            assert "\0" not in str(text)
            str(text).encode()  # raises for half a character
    for rejection in rejections:
        assert f"{rejection.column}{rejection.value}{rejection.reason}".isprintable()
        assert len(rejection.value) <= 200 * len(r"\U0001f600")  # that many characters, each may be an escape
    assert all(len(batch.rows) + len(batch.rejections) <= size for batch in batches)
    again = read(path, layout)
    assert again is not None
    assert [row for batch in again[0] for row in batch.rows] == rows


@same
@given(content=FILES, encoding=st.sampled_from(["auto", "utf-8", "windows-1252"]))
def test_a_text_that_is_not_damaged_has_its_encoding(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        found = examine(path, encoding)
    except FileUnreadable:
        return
    if not found.damaged:
        assert "\0" not in content.decode(found.encoding)


@same
@given(before=st.integers(0, 5), after=st.integers(0, 5), line=BYTES)
def test_what_is_wrong_with_a_line_costs_that_line(
    tmp_path: Path, before: int, after: int, line: bytes
) -> None:
    """Without a quotation mark or a line end in it; those are for `test_parse.py`."""
    broken = line.translate(None, b'"\r\n\0').replace(GOOD.strip(), b"")[:2000]
    path = tmp_path / "file"
    path.write_bytes(HEAD + b"\n" + GOOD * before + broken + b"\n" + GOOD * after)
    found = read(path, VT)
    if before + after and found is not None:
        good = {row.line for batch in found[0] for row in batch.rows if row.last_name == "Roy"}
        lines = range(2, 2 + before + 1 + after)
        assert good >= {number for number in lines if number != 2 + before}


@same
@given(st.lists(st.sampled_from([*FIELDS, "x", ""]) | ANY, max_size=20), st.sampled_from(",\t|;"))
def test_columns_are_found_or_missed_in_words(headers: list[str], delimiter: str) -> None:
    line = delimiter.join(headers)
    try:
        found = find_columns([line], VT)
    except (FileMissingColumns, FileUnreadable) as failure:
        assert failure.message.isprintable()  # noqa: PT017 - it need not be raised
        return
    assert set(REQUIRED) <= found.at.keys()
    assert len(set(found.at.values())) == len(found.at)
    assert all(0 <= at < len(found.headers) for at in found.at.values())
    assert all(header.isprintable() for header in found.headers)


KEYS = st.sampled_from(
    [*Layout.model_fields, "fields.EducatorID", "fields.LastName", "values.LicenseStatus", '"\\u0000"']
)
VALUES = st.sampled_from(
    [
        *("true", "0", "-1", "1e400", "nan", "9" * 5000, '""', '"x{datestamp}"', '"{datestamp}{datestamp}"'),
        *('"M/D/YYYY"', '["M/D/YYYY"]', '["MMM"]', '["YYYYMMDD","D.M.YYYY"]', "[]", "{}"),
        *("[" * 3000, "{a=" * 3000),
        *('"auto"', '"\\t"', "2025-01-01", '["Life"]', '["ACT","\\u0000"]', '"VT"', "1", '["id"]'),
    ]
)  # fmt: skip
TOML = st.lists(st.tuples(KEYS, VALUES), max_size=12).map(
    lambda pairs: "\n".join(f"{key} = {value}" for key, value in pairs)
)


@same
@given(TOML | ANY)
@example("a = " + "9" * 5000)
@example("a = " + "[" * 100_000)
@example("[a]\n" + "b." * 500 + "c = 1")
def test_a_layout_is_one_or_is_refused(text: str) -> None:
    try:
        layout = parse_layout(text, "x")
    except LayoutError:
        return
    assert tomllib.loads(text)
    assert layout.datestamp("x20260101") is None or layout.file_name.startswith("x")


@same
@given(text=ANY)
def test_a_date_format_is_one_or_is_refused(text: str) -> None:
    try:
        pattern = compile_format(text)
    except ValueError:
        return
    written = text.replace("YYYY", "2031").replace("MM", "12").replace("DD", "29")
    assert pattern.fullmatch(written.replace("M", "12").replace("D", "29"))


@same
@given(
    day=st.dates(date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31)),
    parts=st.permutations(["YYYY", "M", "D"]),
    padded=st.booleans(),
    separator=st.sampled_from("/-. _"),
    time=st.sampled_from(["", " 0:00", " 00:00:00", "T00:00:00Z", " 12:00:00 AM", "\t"]),
)
def test_a_date_is_read_as_it_was_written(
    day: date, parts: list[str], padded: bool, separator: str, time: str
) -> None:
    form = separator.join(part * 2 if padded and part != "YYYY" else part for part in parts)
    width = 2 if padded else 1
    written = {"YYYY": f"{day.year}", "M": f"{day.month:0{width}}", "D": f"{day.day:0{width}}"}
    text = separator.join(written[part] for part in parts) + time
    assert DateReader((form,))(f" {text} ") == day.isoformat()


@same
@given(st.text(string.digits + "/-. T:ZAMPam", max_size=30) | ANY)
def test_a_cell_is_a_date_or_is_none(text: str) -> None:
    try:
        found = DateReader(("M/D/YYYY", "YYYY-MM-DD"), ("Life",))(text)
    except ValueError:
        return
    assert found is None or FIRST_YEAR <= date.fromisoformat(found).year <= LAST_YEAR


@same
@given(st.text(st.characters(exclude_categories=()) | ODD, max_size=400))
def test_what_is_shown_or_printed_steers_nothing(text: str) -> None:
    assert visible(text).isprintable()
    printed = Printable().clean({"a": [text]}, 300)["a"][0]
    assert len(printed) <= 300
    assert all(character.isprintable() or character in "\u200c\u200d" for character in printed)


ROSTER = b"employee_number,last_name,first_name,status,state_staff_id,job_class\n"
ROSTERS = st.builds(
    lambda head, rows: head + b"".join(rows),
    st.sampled_from([ROSTER, b"\xef\xbb\xbf" + ROSTER, b""]),
    st.lists(st.sampled_from([b"1,A,B,active,,\n", b"2,A,B,,,\n", b"3,A\n", b"4,A,B,active,,,,\n"]) | BYTES),
)


@same
@given(content=ROSTERS)
@example(ROSTER + b"4,A,B,active,,,,\n")
def test_any_roster_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "roster.csv"
    path.write_bytes(content)
    try:
        people = read_employees(path)
    except (ConfigurationError, ValidationFailedError):
        return
    assert len({person.employee_number for person in people}) == len(people)


def test_the_examples_reach_what_they_are_about(tmp_path: Path) -> None:
    """A good file is read: what is asserted above is asserted of something."""
    path = tmp_path / "file"
    path.write_bytes(HEAD + b"\n" + GOOD)
    for layout, read_rows in ((VT, 1), (POSITIONAL, 2)):
        found = read(path, layout)
        assert found
        assert found[1].read == read_rows
    with pytest.raises(LayoutError, match="nested too deeply"):
        parse_layout("a = " + "[" * 100_000, "x")
