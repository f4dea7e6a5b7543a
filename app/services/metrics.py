"""What is true of the whole deployment, asked for when somebody scrapes: the same from every process."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app.database import Database
from app.metrics import Families
from app.models.base import utc_now
from app.probing import SharedAnswer, within
from app.reach import everywhere
from app.services.health import Component, HealthService
from app.storage import metrics
from app.storage.metrics import Row

LIMIT = 5.0
"""Seconds for all queries of one scrape; Prometheus itself gives up after 10."""
PERIOD = timedelta(hours=24)
"""Runs and connections that ended are counted for so long, so that old ones cost nothing.

A count over all of them would fall when old ones are deleted, and look like a restart to Prometheus.
"""

log = structlog.get_logger()


class MetricsService:
    """Answers scrapes; those that come at once get one answer."""

    def __init__(self, database: Database, health: HealthService) -> None:
        self._database = database
        self._health = health
        self._shared = SharedAnswer(self._collect)

    async def collect(self) -> Collector:
        """Return the deployment's figures; of a database that does not answer only that it does not."""
        return await self._shared.get()

    async def _collect(self) -> Collector:
        (_, components), figures = await asyncio.gather(self._health.check(), self._figures())
        readable = _gauge(
            "certsync_figures_readable",
            "Whether the figures of the database are in this answer.",
            figures is not None,
        )
        return Families((*_components(components), readable, *(figures or ())))

    async def _figures(self) -> tuple[Metric, ...] | None:
        try:
            with everywhere():
                return await within(LIMIT, self._query(utc_now()))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("figures_unreadable", error=type(error).__name__)
            return None

    async def _query(self, now: datetime) -> tuple[Metric, ...]:
        since = now - PERIOD
        async with self._database.engine.connect() as connection:
            count, oldest = await metrics.due(connection, now)
            unfinished = await metrics.unfinished(connection)
            ended = await metrics.ended(connection, since)
            failed_connections = await metrics.failed_connections(connection, since)
            failing = await metrics.failing_districts(connection)
            files = await metrics.newest_files(connection)
            halted = await metrics.halted_connections(connection, now)
            unsealed = await metrics.oldest_unsealed(connection)
        return (
            _gauge("certsync_queue_depth", "Runs that are due and wait for a worker.", count),
            _gauge(
                "certsync_queue_oldest_wait_seconds",
                "How long the oldest run that is due has waited for a worker; 0 when none waits.",
                _seconds(now, oldest),
            ),
            _by(
                ("status", "phase"),
                "certsync_runs",
                "Runs by status and phase: all unfinished ones, and those that ended in the last 24 hours.",
                [*unfinished, *ended],
            ),
            _by(
                ("failure_code",),
                "certsync_runs_failed",
                "Runs that failed in the last 24 hours, by failure code.",
                [row for row in ended if row.failure_code],
            ),
            _by(
                ("failure_code",),
                "certsync_sftp_failures",
                "Attempts to use a state's server that failed in the last 24 hours, by failure code.",
                failed_connections,
            ),
            _by(
                ("failure_code",),
                "certsync_districts_failing",
                "Districts whose last import failed, by failure code.",
                failing,
            ),
            _by(
                ("state",),
                "certsync_connections_halted",
                "Connections that scheduled runs do not use: stopped for a host key, or backing off.",
                halted,
            ),
            _gauge(
                "certsync_audit_unsealed_seconds",
                "How long the oldest audit event after the last sealed one has waited; 0 when none waits.",
                _seconds(now, unsealed),
            ),
            _ages(files, now),
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(labels: Sequence[str], name: str, text: str, rows: Iterable[Row]) -> Metric:
    """Return the sums of the rows' counts by `labels`, which are columns of theirs."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        sums[tuple(getattr(row, label) or "none" for label in labels)] += row.number
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, total in sums.items():
        family.add_metric(values, total)
    return family


def _ages(files: Iterable[Row], now: datetime) -> Metric:
    """Return the age of each district's newest file; the time in a file's name is the district's own."""
    family = GaugeMetricFamily(
        "certsync_newest_file_age_seconds",
        "Age of the newest licence file that was imported, by the date in its name.",
        labels=["district"],
    )
    for row in files:
        try:
            zone = ZoneInfo(row.timezone)
        except ZoneInfoNotFoundError:  # another host knows it; the other figures must not be missing for it
            log.warning("time_zone_unknown", district=row.id, timezone=row.timezone)
            continue
        written = datetime.fromisoformat(row.datestamp).replace(tzinfo=zone)
        family.add_metric([row.id], _seconds(now, written))
    return family


def _seconds(now: datetime, then: datetime | None) -> float:
    return max(0.0, (now - then).total_seconds()) if then else 0.0


def _components(components: Iterable[Component]) -> Iterator[Metric]:
    """Return what `/health/ready` tells, as figures."""
    up = GaugeMetricFamily(
        "certsync_component_up", "Whether a part of the service is well (1) or not (0).", labels=["component"]
    )
    for component in components:
        up.add_metric([component.name], component.up)
        if component.name == "worker":
            yield _gauge("certsync_workers", "Workers that reported in lately.", component.count)
    yield up
