"""Licence files that are kept as a fallback (I2)."""

from app.database import Database
from app.models import ImportFile
from app.storage import import_files
from app.storage.pages import Page, PageRequest


class ImportFileService:
    """The use cases of retained files; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, district_id: str, request: PageRequest) -> Page[ImportFile]:
        """Return a page of files, by default the one that would be used first."""
        async with self._database.read() as session:
            return await import_files.page(session, district_id, request)
