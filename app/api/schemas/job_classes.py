"""Bodies of job classes."""

from pydantic import ConfigDict, Field

from app.api.schemas.base import Answer, Body, Code, Example, Title

EXAMPLE: Example = {"code": "TEACHER", "title": "Classroom teacher", "certification_required": True}


class JobClassPut(Body):
    """A job class as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    code: Code | None = Field(None, description="If given, the one in the path.")
    title: Title = ""
    certification_required: bool = Field(
        False, description="Its active employees must hold a certification; reports list those who do not."
    )


class JobClassOut(Answer):
    """A job class."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE | {"version": 7}]})

    code: str
    title: str
    certification_required: bool
    version: int
