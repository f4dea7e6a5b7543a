"""Endorsements: read here; their writes belong to imports and to HR."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Database
from app.errors import NotFoundError
from app.storage import records
from app.storage.pages import Page, PageRequest


class EndorsementService:
    """The use cases of endorsements; every call is for one district and sees nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, district_id: str, request: PageRequest, employee_number: str | None
    ) -> Page[sa.Row[Any]]:
        """Return a page of endorsements, of one employee or of all."""
        async with self._database.read() as session:
            return await records.endorsements_page(session, district_id, request, employee_number)

    async def get(self, district_id: str, endorsement_id: UUID) -> sa.Row[Any]:
        """Return the endorsement of this public id; raises NotFoundError."""
        async with self._database.read() as session:
            row = await records.find_endorsement(session, district_id, endorsement_id)
        if row is None:
            raise NotFoundError(f"There is no endorsement {endorsement_id} in your district.")
        return row
