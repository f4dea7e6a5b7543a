"""Each file in `golden/` has a .json with what has to come of it, and maybe a .toml to read it by."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.failures import FileMissingColumns, FileUnreadable
from app.pipeline.layout import Layout, load_layout, parse_layout
from app.pipeline.parse import LicenceFile

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".csv", ".txt"))


def layout_of(path: Path) -> Layout:
    own = path.with_suffix(".toml")
    if own.exists():
        return parse_layout(own.read_text(encoding="utf-8"), own.stem)
    return load_layout("vt_alis")


def outcome(path: Path) -> dict[str, Any]:
    try:
        with LicenceFile(path, layout_of(path)) as file:
            batches = list(file.batches())
    except (FileUnreadable, FileMissingColumns) as error:
        return {"error": error.code, "message": error.message}
    assert batches[-1].bytes_read == path.stat().st_size
    return {
        "encoding": file.encoding,
        "delimiter": file.delimiter,
        "mapping": file.mapping,
        "unmapped": file.unmapped,
        "counts": vars(file.counts),
        "rows": [row._asdict() for batch in batches for row in batch.rows],
        "rejections": [rejection._asdict() for batch in batches for rejection in batch.rejections],
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_golden_file(path: Path) -> None:
    assert outcome(path) == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_every_expectation_has_its_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {path.stem for path in FILES}
    assert len(FILES) > 30
