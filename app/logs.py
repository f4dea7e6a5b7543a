"""Structured logs: one event a line, with ids and counts, never names, passwords or rows of a file."""

import logging
import sys
import traceback
from typing import Any

import structlog
from opentelemetry.trace import format_trace_id, get_current_span
from structlog.types import EventDict, Processor, WrappedLogger

from app.settings import Settings

OURS = ("app", "workers")
TALKATIVE = {"uvicorn": logging.INFO, "uvicorn.access": logging.WARNING}
"""What a library other than ours may say below WARNING: that the server starts and stops."""


def configure_logging(settings: Settings) -> None:
    """Send structlog's events and the standard library's records through one formatter to standard error.

    Only our own lines follow `LOG_LEVEL`: what libraries say below WARNING is addresses, user names,
    statements with their values, or every step that they take.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace_id,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    readable = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if readable
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                without_messages,
                renderer,
            ],
        )
    )
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name, least in TALKATIVE.items():
        logging.getLogger(name).setLevel(max(level, least))


def add_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the id of the trace that the line belongs to, if there is one."""
    span = get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = format_trace_id(span.trace_id)
    return event


def without_messages(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception that a library logs by its kinds and places."""
    info = event.pop("exc_info", None)
    error = (sys.exc_info() if info is True else info or (None, None))[1]
    if error is not None:
        event.update(trace(error))
    return event


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
