"""Traces: when they are made, what is refused, and a collector that is away."""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from app.constants import RunPhase
from app.errors import ConfigurationError
from app.metrics import RunMetrics
from app.telemetry import RunTelemetry, about
from app.tracing import ENDPOINTS, FLUSH_SECONDS, PROTOCOLS, Tracing, traceparent
from tests.support.collector import attributes, collecting
from tests.support.openssh import free_port
from tests.support.processes import ROOT
from tests.support.runs import running

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENDPOINTS, *PROTOCOLS):
        monkeypatch.delenv(name, raising=False)


async def test_off_without_the_variable() -> None:
    tracing = Tracing()
    assert tracing.provider is None
    with tracing.span("run"):
        assert traceparent() is None
    await tracing.close()


@pytest.mark.parametrize("off", [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_off_by_the_other_standard_variables(monkeypatch: pytest.MonkeyPatch, off: tuple[str, str]) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv(*off)
    assert Tracing().provider is None


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigurationError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL has to be http/protobuf"):
        Tracing()


WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None  # as if not installed
from app.cli import main
sys.argv = ["certsync", {command!r}]
main()
"""


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_service_without_the_extra_says_what_to_type(
    command: str, migrated_sqlite: Path, tmp_path: Path
) -> None:
    (tmp_path / "certsync.db").write_bytes(migrated_sqlite.read_bytes())
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA.format(command=command)],
        cwd=ROOT,
        env=os.environ | {"CERTSYNC_DATA_DIR": str(tmp_path), ENDPOINT: "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "pip install opentelemetry-sdk" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_run_continues_what_its_row_names_and_starts_a_trace_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        tracing = Tracing()
        telemetry = RunTelemetry(RunMetrics(), tracing)
        for parent in (PARENT, None):
            run = running(id=uuid4(), traceparent=parent)
            with about(run), telemetry.attempt(run), telemetry.phase(RunPhase.FETCH):
                pass
        with tracing.span("unwanted", {"kept": 1}), pytest.raises(KeyError), tracing.span("failed"):
            raise KeyError("LaFountain")
        await tracing.close()
    continued, started = collector.named("run")
    assert (continued.trace_id.hex(), continued.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert started.parent_span_id == b""
    assert started.trace_id != continued.trace_id
    assert [span.parent_span_id for span in collector.named("fetch")] == [continued.span_id, started.span_id]
    assert attributes(collector.named("unwanted")[0]) == {"certsync.kept": 1}
    assert collector.named("failed")[0].status.code == 2
    assert "LaFountain" not in collector.text
    assert 'string_value: "certsync"' in collector.text


async def test_a_collector_that_is_away_delays_the_end_by_seconds_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{free_port()}")
    tracing = Tracing()
    for _ in range(2000):
        with tracing.span("run"):
            pass
    began = time.monotonic()
    await tracing.close()
    assert time.monotonic() - began < FLUSH_SECONDS + 4
    assert "xport" in caplog.text
