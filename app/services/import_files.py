"""Licence files that are kept as a fallback (I2)."""

from typing import Any

import sqlalchemy as sa

from app.database import Database
from app.storage import import_files
from app.storage.pages import Page, PageRequest


class ImportFileService:
    """The use cases of retained files; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, district_id: str, request: PageRequest) -> Page[sa.Row[Any]]:
        """Return a page of files, by default the one that would be used first."""
        async with self._database.look() as connection:
            return await import_files.page(connection, district_id, request)
