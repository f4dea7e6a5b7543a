"""Commands on a whole database."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli import console
from app.cli.common import load_settings, out
from app.database_urls import database_url
from app.errors import ConfigurationError
from app.settings import Settings

NEXT_STEPS = """
[bold]Everything is in PostgreSQL now, and was compared.[/bold] The SQLite file was not changed. Next:

1. Set CERTSYNC_DATABASE_URL to that database, for the API and every worker.
2. Keep CERTSYNC_ENCRYPTION_KEYS and CERTSYNC_SECRET_KEY, or the files in {keys}: the state's
   connections were copied encrypted, and only these keys open them.
3. Keep CERTSYNC_DATA_DIR: downloads and reports stay in {data_dir}.
4. Start certsync, look at /health/ready, and put the SQLite file away. Do not start anything on it again.
"""


def copy_to(
    url: Annotated[
        str,
        typer.Argument(
            help="postgresql://user@host:5432/name; a password is better given as PGPASSWORD or in ~/.pgpass."
        ),
    ],
) -> None:
    """Copy everything from SQLite to an empty PostgreSQL, and compare; nobody may use either meanwhile."""
    from app.services.database_copy import copy_database, sqlite_file
    from app.supervisor import only_instance

    settings = load_settings()
    target = _postgresql(settings, url)
    source = sqlite_file(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with only_instance(settings.data_dir), Progress(*columns, TimeElapsedColumn(), console=out) as progress:
        bar = progress.add_task("Looking at both", total=None)

        def show(step: str, rows: int, total: int) -> None:
            progress.update(bar, description=step, advance=rows, total=total)

        contents = copy_database(source, target, show)
        progress.update(bar, description="Compared")
    out.print(console.contents_table(contents))
    data_dir = settings.data_dir.absolute()
    out.print(NEXT_STEPS.format(data_dir=data_dir, keys=data_dir / "keys"), highlight=False, soft_wrap=True)


def backup(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where the copy goes; it must not exist.")],
) -> None:
    """Write a backup of the SQLite database to a file, also while the service runs."""
    from app.services.database_backup import back_up
    from app.services.database_copy import sqlite_file

    size = back_up(sqlite_file(load_settings()), file.absolute())
    out.print(f"{file.absolute()}: {size:,} bytes, checked.", highlight=False, soft_wrap=True)
    out.print("Keep the encryption keys elsewhere, and files of downloads and reports if you want them back.")


def _postgresql(settings: Settings, url: str) -> Settings:
    """Return settings of which only the database is another one; wrong usage unless it is PostgreSQL."""
    target = settings.model_copy(update={"database_url": SecretStr(url), "migration_database_url": None})
    try:
        backend = database_url(target).get_backend_name()
    except ConfigurationError:
        backend = None
    if backend != "postgresql":
        raise typer.BadParameter("give postgresql://user:password@host:5432/name", param_hint="URL")
    return target
