"""What a process counts itself: the API its requests, a worker its runs. No label can name a person.

What the database knows is not counted but asked for when somebody scrapes (`services/metrics.py`): it is
true for the whole deployment, however many processes there are and whichever of them died.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.constants import RunKind, RunPhase, RunStatus

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client learns that several processes count together."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LOCKED = 423
REFUSALS = frozenset({401, 403, 409, 412, 413, 422, 429, 503})
"""Answers that refuse a request for a reason an operator may want to know of; 423 has a metric of its own."""
MINUTE, HOUR = 60, 3600
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RUN_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)
LOCK_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
"""Seconds: a replace of 300,000 employees with 1 % changed takes 0.3, and one of over 20 is ended."""
ROWS = ("matched", "not_ours", "other_status", "rejected")
"""What becomes of a row, one of these each: `rows_…` of a run's summary."""


class RequestMetrics:
    """What one API process counts, or all processes of one `serve` together (`counting_together`)."""

    def __init__(self) -> None:
        self._registry = own = _registry()
        self._duration = Histogram(
            "certsync_http_request_duration_seconds",
            "Time until the answer to a request began, by route template and class of status.",
            ("method", "route", "status"),
            registry=own,
            buckets=REQUEST_BUCKETS,
        )
        self._writes_refused = Counter(
            "certsync_writes_refused",
            "Writes that were answered 423, since an import was replacing the district's records.",
            registry=own,
        )
        self._refused = Counter(
            "certsync_requests_refused",
            "Requests that were refused otherwise, by status.",
            ("status",),
            registry=own,
        )
        if SHARED_DIRECTORY not in os.environ:  # of one among several processes it would say little
            ProcessCollector(registry=own)

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request; `seconds` until the answer began. What has no route is counted together."""
        known = method if method in METHODS else "other"
        self._duration.labels(known, route or "none", f"{status // 100}xx").observe(seconds)
        if status == LOCKED:
            self._writes_refused.inc()
        elif status in REFUSALS:
            self._refused.labels(status).inc()

    def collector(self) -> Collector:
        """Return what to show: of this process, or of all that count together."""
        if SHARED_DIRECTORY not in os.environ:
            return self._registry
        together = MultiProcessCollector(CollectorRegistry()).collect()  # type: ignore[no-untyped-call]
        mine = {
            metric.name for metric in self._registry.collect()
        }  # the files have the worker's names as well
        return Families(tuple(metric for metric in together if metric.name in mine))


class RunMetrics:
    """What one worker counts of the runs that it executes."""

    def __init__(self) -> None:
        self.registry = own = _registry()
        self._duration = Histogram(
            "certsync_run_duration_seconds",
            "Time from the begin of an attempt to the run's end, by kind and how it ended.",
            ("kind", "status"),
            registry=own,
            buckets=RUN_BUCKETS,
        )
        self._phase = Histogram(
            "certsync_run_phase_duration_seconds",
            "Time of one pass through a phase of a run; `report` is the PDF after the run's end.",
            ("phase",),
            registry=own,
            buckets=RUN_BUCKETS,
        )
        self._wait = Histogram(
            "certsync_run_wait_seconds",
            "Time between a run's due time and its first begin.",
            registry=own,
            buckets=RUN_BUCKETS,
        )
        self._lock = Histogram(
            "certsync_lock_window_seconds",
            "Time for which a replace kept the writers of its district out.",
            registry=own,
            buckets=LOCK_BUCKETS,
        )
        self._rows = Counter(
            "certsync_rows",
            "Rows of licence files in runs that succeeded, by kind of run and what became of them.",
            ("kind", "outcome"),
            registry=own,
        )
        ProcessCollector(registry=own)

    def began(self, waited: float) -> None:
        """Count the first begin of a run, `waited` seconds after it was due."""
        self._wait.observe(max(0, waited))

    def ended(
        self, kind: RunKind, status: RunStatus, seconds: float, summary: Mapping[str, Any] | None
    ) -> None:
        """Count the end of a run that took `seconds`; `summary` is that of one that succeeded."""
        self._duration.labels(kind.value, status.value).observe(seconds)
        if summary is not None:
            for outcome in ROWS:
                self._rows.labels(kind.value, outcome).inc(summary[f"rows_{outcome}"])

    def phase_ended(self, phase: RunPhase, seconds: float) -> None:
        """Count a pass through a phase."""
        self._phase.labels(phase.value).observe(seconds)

    def lock_released(self, seconds: float) -> None:
        """Count a replace that kept writers out for `seconds`."""
        self._lock.observe(seconds)


@contextmanager
def counting_together() -> Iterator[None]:
    """Let API processes that are started in the body, each a new interpreter, show one sum.

    They serve one port, so a scrape meets any of them. A process that died keeps its share: a counter must
    not fall. The library reads the variable when it is imported, so a forked process would count alone.
    """
    with tempfile.TemporaryDirectory(prefix="certsync-metrics-") as directory:
        os.environ[SHARED_DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[SHARED_DIRECTORY]


def _registry() -> CollectorRegistry:
    # When each series began, which nobody asks for, would be a series beside it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return CollectorRegistry()


@dataclass(frozen=True)
class Families(Collector):
    """Metrics that are ready to be shown."""

    metrics: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        """Return them, as the library asks for them."""
        return self.metrics


def exposition(parts: Iterable[Collector], accept: str) -> tuple[bytes, str]:
    """Return the text for a scraper and its media type, which `accept` (the header) chooses."""
    encode, media_type = choose_encoder(accept)
    return encode(Families(tuple(metric for part in parts for metric in part.collect()))), media_type
