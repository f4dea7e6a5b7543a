"""What all commands share: settings, the parts of the instance, and the console."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.text import Text

from app.audit_source import Source, enter, shell_user, this_host
from app.constants import AuditInterface
from app.errors import ConfigurationError
from app.logs import configure_logging
from app.pipeline.text_format import visible
from app.settings import PREFIX, Settings

if TYPE_CHECKING:
    from app.factory import Factory

Result = TypeVar("Result")

District = Annotated[str, typer.Option(help="Whose data it is about.")]
ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def harmless(text: str) -> str:
    """Return a text with an escape for what a terminal would obey (ESC, C1) or show in another order."""
    return "\n".join(visible(line, len(line)) for line in text.split("\n"))


def harmless_json(text: str) -> str:
    """Return JSON that says the same with its own escapes for what a terminal would obey."""
    return "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"


class Terminal(Console):
    """A console for texts that others wrote: licence files, names, what a state's server says.

    Rich shows control characters as they come, and makes a picture of `:skull:`.
    """

    def __init__(self) -> None:
        super().__init__(emoji=False)

    def render_str(self, text: str, **style: Any) -> Text:
        """Return a text, or what stands in a cell of a table, as it is printed."""
        return super().render_str(harmless(text), **style)


out = Terminal()


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
    except SettingsError as error:
        raise ConfigurationError(f"{error}; it has to be JSON") from error
    configure_logging(settings)
    return settings


def with_factory(
    work: "Callable[[Factory], Awaitable[Result]]",
    settings: Settings | None = None,
    district: str | None = None,
) -> Result:
    """Run `work` with the parts of this instance, on a schema that it can work on.

    `settings` are those of the environment when they are left out. `district` is the one that the work is
    about; whatever reaches further says so itself.
    """
    from app.factory import Factory
    from app.migrations import check_schema
    from app.reach import enter_district

    async def run() -> Result:
        enter(Source(shell_user(), AuditInterface.CLI, this_host()))
        factory = Factory(settings or load_settings())
        try:
            await check_schema(factory.database)
            if district is not None:
                enter_district(district)
            return await work(factory)
        finally:
            await factory.close()

    return asyncio.run(run())


def read_layout_text(path: Path) -> str:
    """Return the text of a layout's file; raises ConfigurationError that says what is wrong with it."""
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file. Give the path of a layout as TOML.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8; save it as UTF-8.") from error


def parse_span(text: str) -> timedelta:
    """Return the span of a text such as 30m, 24h or 90d."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1:] in units and len(text) <= len("36500d"):
        span = timedelta(**{units[text[-1]]: int(text[:-1])})
        if timedelta() < span <= timedelta(days=36500):
            return span
    raise typer.BadParameter("give a number and a unit, such as 30m, 24h or 90d", param_hint="--ttl")
