"""The import lock: as a resource to read, and as what a writer of records meets first."""

from typing import Annotated

from fastapi import Depends, Request

from app.access import Caller
from app.api.dependencies import FactoryDep, RecordsReader, RecordsWriter, get_factory
from app.api.router import api_router
from app.api.schemas.import_lock import ImportLockOut

router = api_router("import-lock", tag="Certifications")


async def get_editor(caller: RecordsWriter, request: Request) -> Caller:
    """Return the caller if nothing keeps writers of records out; raises CertificationUpdateInProgressError.

    A dependency, so that it answers before the body is validated: there is no use in correcting a body that
    is refused anyway.
    """
    await (await get_factory(request)).editing.check(caller.district)
    return caller


Editor = Annotated[Caller, Depends(get_editor)]
"""Whoever may write certifications and endorsements, now."""


@router.get("", summary="Read the import lock")
async def get_import_lock(caller: RecordsReader, factory: FactoryDep) -> ImportLockOut:
    """Whether the district's certifications and endorsements are being replaced, by which run, since when.

    While `locked` every write to them answers 423.
    """
    holder = await factory.editing.holder(caller.district)
    if holder is None:
        return ImportLockOut(locked=False, run_id=None, since=None)
    return ImportLockOut(locked=True, run_id=holder.run_id, since=holder.since)
