"""What is told of a run while it goes on: the ids in its log lines, its spans, and its times."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from app.constants import RunPhase, RunStatus
from app.metrics import RunMetrics
from app.models import Run
from app.tracing import OURS, Tracing, continuing, traceparent


def origin() -> dict[str, Any]:
    """Return the columns by which a run remembers the request that starts it just now.

    They are in the run's row, since a message in the queue is a run's id and nothing else.
    """
    return {
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        "traceparent": traceparent(),
    }


@contextmanager
def about(run: Run) -> Iterator[None]:
    """Let every log line of the body, and of tasks it starts, have the ids of `run`; go on with its trace."""
    ids = {"run_id": str(run.id), "district": run.district_id, "request_id": run.request_id}
    told = {name: value for name, value in ids.items() if value is not None}
    with structlog.contextvars.bound_contextvars(**told), continuing(run.traceparent):
        yield


class RunTelemetry:
    """Times and spans of the runs that one process executes."""

    def __init__(self, metrics: RunMetrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    @contextmanager
    def attempt(self, run: Run) -> Iterator[None]:
        """Make a span of one attempt at a run; the first tells how long the run waited."""
        if (
            run.actual_start is not None and run.actual_start == run.heartbeat_at
        ):  # as the first claim leaves it
            self._metrics.began((run.actual_start - run.scheduled_start).total_seconds())
        attributes = {
            "district": run.district_id,
            "run.id": str(run.id),
            "run.kind": run.kind.value,
            "run.trigger": run.trigger.value,
            "run.attempt": run.attempt,
        }
        with self._tracing.span("run", attributes, SpanKind.CONSUMER):
            yield

    def ended(
        self,
        run: Run,
        status: RunStatus,
        seconds: float,
        *,
        code: str = "",
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell how the attempt ended, `seconds` after it began; `code` is that of its failure."""
        self._metrics.ended(run.kind, status, seconds, summary)
        span = trace.get_current_span()
        span.set_attribute(f"{OURS}run.status", status.value)
        if code:
            span.set_attribute(f"{OURS}failure.code", code)
            span.set_status(StatusCode.ERROR)

    @contextmanager
    def phase(self, phase: RunPhase) -> Iterator[None]:
        """Time one pass through a phase, also one that fails."""
        began = time.perf_counter()
        try:
            with self._tracing.span(phase.value):
                yield
        finally:
            self._metrics.phase_ended(phase, time.perf_counter() - began)

    @contextmanager
    def lock_window(self) -> Iterator[None]:
        """Time how long writers are kept out."""
        began = time.perf_counter()
        try:
            with self._tracing.span("lock"):
                yield
        finally:
            self._metrics.lock_released(time.perf_counter() - began)
