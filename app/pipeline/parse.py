"""Second step of a run: a licence file as a stream of rows, with a reason for every row that is no good.

Memory does not grow with the file. Rejection is judged before the status, and the early filter (`wanted`)
comes last, so that counts and rejections are the same whoever asks.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, Self, TextIO

from app.failures import FileUnreadable
from app.pipeline import keys
from app.pipeline.cells import DATES, NAMES, TEXTS, Remembered, person_name
from app.pipeline.columns import find_columns
from app.pipeline.dates import DateReader
from app.pipeline.layout import FieldName, Layout
from app.pipeline.text_format import examine, records, visible

HEAD_LINES = 20
"""Lines that tell what separates the columns."""
MAX_STATUSES = 100
"""Other statuses counted by name; a column that is no status would have one a row."""
OTHER_STATUSES = "(others)"
GROUPS: tuple[tuple[FieldName, ...], ...] = (
    ("EducatorID", "LastName", "FirstName"),
    ("LicenseNumber", "LicenseType", "LicenseStatus", "LicenseIssueDate", "LicenseExpirationDate"),
    (
        "EndorsementCode",
        "EndorsementDescription",
        "EndorsementIssueDate",
        "EndorsementExpirationDate",
        "Limitation",
    ),
)
"""Cells that are read together: who, which licence, which endorsement."""
STATUS: Final = 2  # among the fields of a licence


class LicenceRow(NamedTuple):
    """One importable row. Dates are ISO text; `line` is where the row starts in the file, from 1.

    `educator_key` and `name_key` are what is compared (I3); the other texts are the file's, trimmed.
    """

    line: int
    educator_key: str
    name_key: str | None
    educator_id: str
    last_name: str
    first_name: str
    license_number: str
    license_type: str
    status: str
    issue_date: str | None
    expiration_date: str | None
    endorsement_code: str | None
    endorsement_description: str | None
    endorsement_issue_date: str | None
    endorsement_expiration_date: str | None
    limitation: str | None


class Rejection(NamedTuple):
    """A row that cannot be read: `column` is its header, "" for the whole row; `reason` reads after both."""

    line: int
    column: str
    value: str
    reason: str


@dataclass
class RowCounts:
    """Data rows of a file: `read` is `rejected` + `importable` + the sum of `other_status`."""

    read: int = 0
    rejected: int = 0
    importable: int = 0
    other_status: dict[str, int] = field(default_factory=dict)


class Batch(NamedTuple):
    """What came of some consecutive rows; `bytes_read` of the file so far, for progress."""

    rows: list[LicenceRow]
    rejections: list[Rejection]
    bytes_read: int


def everyone(_educator_key: str, _name_key: str | None) -> bool:
    """Want every row; the early filter of `LicenceFile.batches` when there is none."""
    return True


class LicenceFile:
    """An open licence file; a context manager.

    `mapping` has each field's column header, `unmapped` the headers of the other columns, `counts` is
    complete once `batches` is exhausted.

    Raises FileUnreadable when the file is no licence file, FileMissingColumns when it lacks a required one.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.layout = layout
        self.counts = RowCounts()
        text_format = examine(path, layout.encoding)
        self.encoding, self._damaged = text_format.encoding, text_format.damaged
        self._stream: TextIO = path.open(encoding=self.encoding, errors="surrogateescape", newline="")
        try:
            columns = find_columns(list(islice(self._stream, HEAD_LINES)), layout)
        except BaseException:
            self._stream.close()
            raise
        self._stream.seek(0)
        self.delimiter, self._headers = columns.delimiter, columns.headers
        self.mapping = {name: columns.headers[at] for name, at in columns.at.items()}
        used = set(columns.at.values())
        self.unmapped = [header for at, header in enumerate(columns.headers) if at not in used]
        # What has no column is appended to each row: the layout's values, and "" for the rest at -1.
        constants = [name for name in layout.values if name not in columns.at]
        self._appended = (*(layout.values[name] for name in constants), "")
        width = len(columns.headers)
        self._at = columns.at | {name: width + at for at, name in enumerate(constants)}
        # Of what repeats; ids and numbers are each person's own.
        self._types, self._statuses = Remembered(TEXTS["LicenseType"]), Remembered(TEXTS["LicenseStatus"])
        self._last_names, self._first_names = Remembered(person_name), Remembered(person_name)
        date = Remembered(DateReader(layout.date_formats))
        end_date = Remembered(DateReader(layout.date_formats, layout.no_expiration))
        self._dates = dict(zip(DATES, (date, end_date, date, end_date), strict=True))
        # Not a method of ours: in a cycle, all that is remembered would outlast the file by hours.
        self._endorsements = Remembered(partial(endorsement, self._dates))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def batches(
        self, wanted: Callable[[str, str | None], bool] = everyone, size: int = 250
    ) -> Iterator[Batch]:
        """Yield what each `size` data rows come to; to be exhausted, and once only.

        `wanted(educator_key, name_key)` is asked for each importable row; False leaves the row out of the
        batch, not out of the counts. Raises FileUnreadable at the end when there was no data row.
        """
        table = records(self._stream, self.delimiter, len(self._headers), damaged=self._damaged)
        if self.layout.header:
            next(table)
        while True:
            before = self.counts.read
            rows, rejections = self._read(islice(table, size), wanted)
            if self.counts.read == before:
                break
            yield Batch(rows, rejections, self._stream.buffer.tell())
        if not self.counts.read:
            raise FileUnreadable(
                "The file has a header row and no data row."
                if self.layout.header
                else "The file has no data row."
            )

    def _read(
        self, table: Iterator[tuple[int, list[str], str]], wanted: Callable[[str, str | None], bool]
    ) -> tuple[list[LicenceRow], list[Rejection]]:
        """Read some records. Millions pass here, hence the locals, and cells looked up by groups."""
        rows: list[LicenceRow] = []
        rejections: list[Rejection] = []
        who_of, licence_of, endorsement_of = (
            itemgetter(*(self._at.get(name, -1) for name in group)) for group in GROUPS
        )
        endorsements, statuses, appended = self._endorsements, frozenset(self.layout.statuses), self._appended
        row_of = LicenceRow._make
        who_cells: tuple[str, ...] | None = None
        licence_cells: tuple[str, ...] | None = None
        read = importable = 0
        for line, fields, fault in table:
            read += 1
            if fault:
                rejections.append(Rejection(line, "", visible(fields[0]), fault))
                continue
            fields.extend(appended)
            try:
                # The rows of a person follow each other, and among them those of a licence.
                if (cells := who_of(fields)) != who_cells:
                    who_cells = None
                    who = self._who(*cells)
                    who_cells = cells
                if (cells := licence_of(fields)) != licence_cells:
                    licence_cells = None
                    licence = self._licence(*cells)
                    licence_cells = cells
                endorsement = endorsements[endorsement_of(fields)]
            except ValueError:
                rejections.append(self._reject(line, fields))
                continue
            if licence[STATUS] not in statuses:
                self._count_other(licence[STATUS])
                continue
            importable += 1
            if wanted(who[0], who[1]):
                rows.append(row_of((line, *who, *licence, *endorsement)))
        self.counts.read += read
        self.counts.rejected += len(rejections)
        self.counts.importable += importable
        return rows, rejections

    def _who(self, educator_id: str, last: str, first: str) -> tuple[str, str | None, str, str, str]:
        """Return the fields of `LicenceRow` that say whose a row is; ValueError when one cannot be read."""
        key = TEXTS["EducatorID"](educator_id)
        last_name, last_part = self._last_names[last]
        first_name, first_part = self._first_names[first]
        return key, keys.join_parts(last_part, first_part), educator_id.strip(), last_name, first_name

    def _licence(
        self, number: str, kind: str, status: str, issued: str, expires: str
    ) -> tuple[str, str, str, str | None, str | None]:
        """Return the fields of `LicenceRow` that say of a licence what it is; likewise."""
        return (
            TEXTS["LicenseNumber"](number),
            self._types[kind],
            self._statuses[status].upper(),
            self._dates["LicenseIssueDate"][issued],
            self._dates["LicenseExpirationDate"][expires],
        )

    def _reject(self, line: int, fields: list[str]) -> Rejection:
        """Say what is wrong with a row that a check refused: the first fault, in the order of the checks."""
        names = dict.fromkeys(NAMES, person_name)
        dates = {name: read.__getitem__ for name, read in self._dates.items()}
        readers: dict[FieldName, Callable[[str], object]] = {**TEXTS, **names, **dates}
        for name, read in readers.items():
            value = fields[self._at.get(name, -1)]
            try:
                read(value)
            except ValueError as error:
                return Rejection(line, self.mapping.get(name, name), visible(value), str(error))
        raise AssertionError("a refused row passes every check")

    def _count_other(self, status: str) -> None:
        other = self.counts.other_status
        if status not in other and len(other) >= MAX_STATUSES:
            status = OTHER_STATUSES
        other[status] = other.get(status, 0) + 1


def endorsement(
    dates: Mapping[FieldName, Mapping[str, str | None]], cells: tuple[str, ...]
) -> tuple[str | None, ...]:
    """Return the fields of `LicenceRow` that an endorsement has; ValueError when one cannot be read."""
    code, description, issued, expires, limitation = cells
    return (
        TEXTS["EndorsementCode"](code) or None,
        TEXTS["EndorsementDescription"](description) or None,
        dates["EndorsementIssueDate"][issued],
        dates["EndorsementExpirationDate"][expires],
        TEXTS["Limitation"](limitation) or None,
    )
