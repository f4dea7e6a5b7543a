"""The shape of lists: `limit`, `cursor`, `sort`, `q` and filters in, `items` and `next_cursor` out."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo, field_validator
from pydantic_core import CoreSchema, core_schema

from app.api.schemas.base import Title
from app.storage.pages import DEFAULT_LIMIT, MAX_LIMIT, Listing, PageRequest

Item = TypeVar("Item", bound=BaseModel)
MOST_KEYWORDS = 8


@dataclass(frozen=True)
class SortOf:
    """Marks the `sort` of a query: one of those that the list knows, as the documentation shows too."""

    listing: Listing

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(self.listing.sorts)


class PageQuery(BaseModel):
    """Query of a list. Each list extends this class with its `sort` and its filters.

    Fields that are added are the filters of the list's `Listing`. Unknown parameters are refused: a misspelt
    filter must not silently list everything.
    """

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of a page.")
    cursor: str | None = Field(
        None,
        max_length=4096,
        description="`next_cursor` of the page before, with everything else as it was; opaque.",
    )
    sort: str
    q: Title = Field(
        "", description="Keywords: each must occur in one of the texts of an item, in whatever case."
    )

    @field_validator("q")
    @classmethod
    def check_words(cls, value: str) -> str:
        """Refuse more keywords than anybody types: each is looked for in every row."""
        if len(value.split()) > MOST_KEYWORDS:
            raise ValueError(f"may have up to {MOST_KEYWORDS} words")
        return value

    @field_validator("*")
    @classmethod
    def check_range(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a `…_to` that lies before its `…_from`, which is declared first."""
        lower = f"{(info.field_name or '').removesuffix('_to')}_from"
        earliest = info.data.get(lower)
        if value is not None and earliest is not None and value < earliest:
            raise ValueError(f"lies before {lower}, so nothing can match; exchange them")
        return value

    @property
    def page(self) -> PageRequest:
        """The page that is asked for."""
        filters = self.model_dump(exclude=set(PageQuery.model_fields), exclude_none=True)
        return PageRequest(self.limit, self.cursor, self.sort, self.q, filters)


class PageOf(BaseModel, Generic[Item]):
    """One page of a list."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Item]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last.")
