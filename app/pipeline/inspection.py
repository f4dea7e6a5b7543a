"""How a licence file is read, for `certsync inspect`: what an operator looks at before trusting a layout."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app.pipeline.layout import FieldName, Layout
from app.pipeline.parse import LicenceFile, LicenceRow, Rejection, RowCounts

FIRST_ROWS = 10
REJECTIONS = 20


@dataclass
class Inspection:
    """A file as its layout reads it; the first rows are those of an importable status."""

    layout: str
    datestamp: datetime | None
    delimiter: str
    encoding: str
    mapping: dict[FieldName, str]
    unmapped: list[str]
    counts: RowCounts
    first_rows: list[LicenceRow] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def inspect_file(path: Path, layout: Layout) -> Inspection:
    """Read a whole file and return what it comes to; `datestamp` is None when the name is not the layout's.

    Raises FileUnreadable or FileMissingColumns where an import would.
    """
    with LicenceFile(path, layout) as file:
        found = Inspection(
            layout=layout.name,
            datestamp=layout.datestamp(path.name),
            delimiter=file.delimiter,
            encoding=file.encoding,
            mapping=file.mapping,
            unmapped=file.unmapped,
            counts=file.counts,
        )
        for batch in file.batches(lambda _educator, _names: len(found.first_rows) < FIRST_ROWS):
            found.first_rows += batch.rows[: FIRST_ROWS - len(found.first_rows)]
            found.rejections += batch.rejections[: REJECTIONS - len(found.rejections)]
    return found
