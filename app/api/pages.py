"""The shape of lists: `limit` and `cursor` in, `items` and `next_cursor` out."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.storage.pages import DEFAULT_LIMIT, MAX_LIMIT, PageRequest

Item = TypeVar("Item", bound=BaseModel)


class PageQuery(BaseModel):
    """Query of a list. A list with filters of its own extends this class.

    Unknown parameters are refused: a misspelt filter must not silently list everything.
    """

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of a page.")
    cursor: str | None = Field(
        None,
        max_length=4096,
        description="`next_cursor` of the page before; opaque.",
    )

    @property
    def page(self) -> PageRequest:
        """The page that is asked for."""
        return PageRequest(limit=self.limit, cursor=self.cursor)


class PageOf(BaseModel, Generic[Item]):
    """One page of a list."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Item]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last.")
