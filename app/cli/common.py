"""What all commands share: settings, the parts of the instance, and the console."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from app.errors import ConfigurationError
from app.logs import configure_logging
from app.settings import PREFIX, Settings

if TYPE_CHECKING:
    from app.factory import Factory

Result = TypeVar("Result")

District = Annotated[str, typer.Option(help="Whose data it is about.")]
ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]

out = Console()


def load_settings() -> Settings:
    """Return the settings of the environment, with logging set up; says which variable is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        faults = (fault["msg"].removeprefix("Value error, ") for fault in error.errors())
        names = (
            PREFIX + str(fault["loc"][0]).upper() + ": " if fault["loc"] else "" for fault in error.errors()
        )
        told = "; ".join(name + fault for name, fault in zip(names, faults, strict=True))
        raise ConfigurationError(told) from error
    configure_logging(settings)
    return settings


def with_factory(work: "Callable[[Factory], Awaitable[Result]]", settings: Settings | None = None) -> Result:
    """Run `work` with the parts of this instance, on a schema that it can work on.

    `settings` are those of the environment when they are left out.
    """
    from app.factory import Factory
    from app.migrations import check_schema

    async def run() -> Result:
        factory = Factory(settings or load_settings())
        try:
            await check_schema(factory.database)
            return await work(factory)
        finally:
            await factory.close()

    return asyncio.run(run())
