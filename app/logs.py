"""Structured logs: one event a line, with ids and counts, never names, passwords or rows of a file."""

import logging
import sys
import traceback
from typing import Any

import structlog
from structlog.types import Processor

from app.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Send structlog's events and the standard library's records through one formatter to standard error.

    A terminal gets readable lines, everything else JSON.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tty = sys.stderr.isatty()
    renderer: Processor = structlog.dev.ConsoleRenderer() if tty else structlog.processors.JSONRenderer()
    tail: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not tty:
        tail.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*tail, renderer])
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.log_level]
        ),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # At INFO these log addresses, user names, or every step that they take.
    for chatty in ("alembic", "arq", "asyncssh", "uvicorn.access", "httpx", "fontTools", "weasyprint"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def trace(error: BaseException) -> dict[str, Any]:
    """Return what a log line says of an unexpected error: kinds and places, but no message.

    Messages of exceptions quote what they stumbled over; a database's quote the row it refused.
    """
    chain: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(f"{type(cause).__name__}\n{''.join(traceback.format_tb(cause.__traceback__))}")
        cause = cause.__cause__ or cause.__context__
    return {
        "error": type(error).__name__,
        "sqlstate": getattr(getattr(error, "orig", None), "sqlstate", None),
        "trace": "\ncaused by ".join(chain),
    }
