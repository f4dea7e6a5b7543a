"""The shape of every error."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """One wrong field of a request."""

    loc: list[str | int] = Field(examples=[["body", "items", 3, "last_name"]])
    msg: str = Field(description="What to do about it.")
    type: str = Field(description="The kind of fault, for programs.")


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out what stands for "not there" here: nobody sends it."""
    del schema["default"]


class Problem(BaseModel):
    """An error as RFC 9457 describes it. Some problems add members of their own, such as `run_id`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/not-found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no employee 1001 in your district.",
                    "instance": "/api/v1/employees/1001",
                }
            ]
        },
    )

    type: str = Field(description="Names the kind of problem and is the address of a page that explains it.")
    title: str
    status: int
    detail: str = Field(description="What happened this time, and what to do.")
    instance: str = Field(
        "",
        description="The path of the request; not there when that could not be read.",
        json_schema_extra=_without_default,
    )
    errors: list[Fault] | None = Field(None, description="With status 422: every fault and its place.")
