"""Short limits, for tests of recovery that are about what happens and not about when."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import app.import_lock
import app.pipeline.heartbeat
import app.storage.due_runs
import workers.settings
import workers.sweep

STALE = 4.0
"""Seconds; a busy machine may hold a heartbeat up for one or two."""


def hurry(put: Callable[[Any, str, Any], None], stale: float = STALE) -> None:
    """Make each limit a fifth or less; `put` is `setattr` or that of a monkeypatch."""
    put(app.storage.due_runs, "STALE", timedelta(seconds=stale))
    put(app.import_lock, "TTL", 2.0)
    put(app.import_lock, "RENEWAL", 0.5)
    put(app.import_lock, "PATIENCE", 3.0)
    put(app.pipeline.heartbeat, "BEAT", 0.2)
    put(workers.sweep, "PATIENCE", timedelta(seconds=1))
    put(workers.sweep, "NUDGE_SECONDS", 1)
    put(workers.settings, "SWEEP_SECONDS", set(range(60)))
    put(workers.settings, "TICK_SECONDS", set(range(60)))
    put(workers.settings, "GRACE", 0.5)
