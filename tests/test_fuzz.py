"""The short form of `make fuzz`: the same requests every time, so what it finds is of the last change."""

from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings
from tests.fuzz.api import faults, fuzz
from tests.fuzz.instance import running_instance

DOCUMENT = create_app(Settings()).openapi()
SHORT = ("--phases", "examples,fuzzing", "--max-examples", "3", "--generation-deterministic")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_operation_answers_as_documented(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data_dir = tmp_path / "instance"
    data_dir.mkdir()
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    with running_instance(data_dir, url) as instance:
        told = fuzz(instance, tmp_path, *SHORT)
    assert told.good, (told.text[-5000:], told.faults)
    assert told.operations == sum(map(len, DOCUMENT["paths"].values()))
    assert told.cases > 200


def test_errors_in_the_log_are_found(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"event": "request", "level": "info"}\n{"event": "request_failed", "level": "error"}\n')
    assert faults(log) == ['{"event": "request_failed", "level": "error"}']
