"""Routes of retained files."""

from typing import Annotated

from fastapi import Depends

from app.api.dependencies import FactoryDep, RunsReader
from app.api.list_query import QueryOf
from app.api.pages import PageOf
from app.api.router import api_router
from app.api.schemas.import_files import ImportFileOut
from app.api.schemas.queries import ImportFileQuery

router = api_router("import-files", tag="Files")


@router.get("", summary="List retained files")
async def list_import_files(
    caller: RunsReader,
    factory: FactoryDep,
    query: Annotated[ImportFileQuery, Depends(QueryOf(ImportFileQuery))],
) -> PageOf[ImportFileOut]:
    """Imported licence files that are kept, by default the newest by datestamp first.

    An import that finds none at the state uses that one.
    """
    page = await factory.import_files.page(caller.district, query.page)
    return PageOf[ImportFileOut].model_validate(page)
