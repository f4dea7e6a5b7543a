"""Structured logs: one event a line, with ids and counts, never names, passwords or rows of a file."""

import logging
import sys

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
    # These log addresses, user names or every message of a connection at INFO.
    for chatty in ("asyncssh", "uvicorn.access", "httpx", "fontTools", "weasyprint"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
