"""Bodies of health checks."""

from typing import Literal

from pydantic import Field

from app.api.schemas.base import Answer
from app.services.health import Health


class Liveness(Answer):
    """The process answers."""

    status: Literal["live"] = "live"


class ComponentOut(Answer):
    """One part of the service."""

    name: str = Field(examples=["worker"])
    status: Literal["up", "down"]
    detail: str = Field(description="What is wrong, or how much there is of it.")


class Readiness(Answer):
    """Whether the service can do its work."""

    status: Health = Field(description="`degraded`: requests are served, runs have to wait.")
    components: list[ComponentOut] | None = Field(None, description="Only with a token.")
