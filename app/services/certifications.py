"""Certifications: read here; their writes belong to imports and to HR."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Database
from app.errors import NotFoundError
from app.storage import records
from app.storage.pages import Page, PageRequest


class CertificationService:
    """The use cases of certifications; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, district_id: str, request: PageRequest, employee_number: str | None
    ) -> Page[sa.Row[Any]]:
        """Return a page of certifications, of one employee or of all."""
        async with self._database.read() as session:
            return await records.certifications_page(session, district_id, request, employee_number)

    async def get(self, district_id: str, certification_id: UUID) -> sa.Row[Any]:
        """Return the certification of this public id; raises NotFoundError."""
        async with self._database.read() as session:
            row = await records.find_certification(session, district_id, certification_id)
        if row is None:
            raise NotFoundError(f"There is no certification {certification_id} in your district.")
        return row
