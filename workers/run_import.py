"""The job that executes one run."""

from typing import Any
from uuid import UUID

from app.factory import Factory


async def run_import(ctx: dict[str, Any], run_id: str) -> None:
    """Execute a run, if it is still there to be taken; the run row says how it ended."""
    factory: Factory = ctx["factory"]
    await factory.execution.execute(UUID(run_id))
