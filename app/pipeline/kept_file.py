"""What is kept of a fetched file, and what is said of one that is no news (I2)."""

from datetime import datetime
from typing import Any, TypeAlias
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.constants import FileState
from app.models import Run
from app.pipeline.fetch import FetchedFile
from app.storage import import_files

KeptFile: TypeAlias = dict[str, Any]
"""The columns of ImportFile."""


def warning_of(file: FetchedFile, newest_imported: str | None) -> str | None:
    """Return what is to be said of a file that is not news; datestamps are ISO texts."""
    if file.reused:
        return f"The state's server had no licence file, so the retained {file.name} was used again."
    if newest_imported and file.datestamp and file.datestamp < newest_imported:
        return f"{file.name} is older than a file that was imported before ({newest_imported[:10]})."
    return None


def kept_file(file: FetchedFile, state: FileState, run: Run, now: datetime) -> KeptFile | None:
    """Return the row of a fetched file that is to be retained or quarantined.

    None for a file that is not `to_keep`.
    """
    if not file.to_keep:
        return None
    return {
        "id": uuid4(),
        "district_id": run.district_id,
        "name": file.name,
        "datestamp": file.datestamp,
        "sha256": file.sha256,
        "size": file.size,
        "stored_as": file.path.name,
        "state": state,
        "run_id": run.id,
        "fetched_at": now,
    }


async def superseded_copy(connection: AsyncConnection, kept: KeptFile | None) -> str | None:
    """Return the name of a stored copy that nothing needs once `kept` is recorded."""
    if kept is None:
        return None
    older = await import_files.copy_of(connection, kept)
    return older if older != kept["stored_as"] else None
