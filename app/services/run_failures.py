"""What an administrator is told of a failed run."""

import json

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.crypto import DecryptionError
from app.errors import ServiceUnavailableError
from app.failures import DatabaseFailed, InternalFailure, RunFailure
from app.logs import trace
from app.models import Run
from app.models.base import utc_now
from app.pipeline.layout import LayoutError
from app.pipeline.report import instant
from app.settings import Settings

log = structlog.get_logger()


def reassuring(message: str) -> str:
    """Return the message with what is true of every failed run, unless it says so itself."""
    return message if "Nothing was changed" in message else f"{message} Nothing was changed."


def as_failure(error: Exception, settings: Settings) -> RunFailure:
    """Return what an administrator is told of an error; what we did not expect is logged in full."""
    if isinstance(error, RunFailure):
        return error
    if isinstance(error, TimeoutError):
        return InternalFailure(
            f"The import took over {settings.run_timeout:g} seconds and was stopped. Nothing was changed."
        )
    if isinstance(error, SQLAlchemyError | ServiceUnavailableError):
        log.error("database_failed", **trace(error))
        return DatabaseFailed(
            "The database failed during the import. Nothing was changed. Run it again later."
        )
    if isinstance(error, DecryptionError):
        log.error("credentials_unreadable", reason=str(error))
        return InternalFailure(
            "The stored credentials cannot be decrypted. Save the connection again, or ask the operator to "
            "bring back the encryption key."
        )
    if isinstance(error, LayoutError):
        return InternalFailure(f"The licence file cannot be read as the district is set up: {error}.")
    log.error("run_crashed", **trace(error))
    return InternalFailure(
        "The import failed through a fault of the service. Nothing was changed. The operator finds the cause "
        "in the log under this run's id."
    )


def error_log(run: Run, failure: RunFailure) -> str:
    """Return the text of a failed connection's error log (I10); its facts hold no secret."""
    facts = {
        "time": instant(utc_now()),
        "run_id": str(run.id),
        "district": run.district_id,
        "code": failure.code,
        "message": failure.message,
        **failure.diagnosis,
    }
    lines = (
        f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in facts.items()
    )
    return "\n".join(lines) + "\n"
