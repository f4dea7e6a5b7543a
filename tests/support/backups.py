"""Backups of either database, by the means that docs/deploy.md names, and services on what they hold."""

import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.settings import Settings
from tests.support.commands import certsync, succeeded
from tests.support.copies import url
from tests.support.postgres import PostgresCluster, find_binaries


def back_up(settings: Settings, target: Path) -> None:
    """Take a backup while whatever goes on goes on."""
    if settings.database_url is None:
        succeeded(certsync(settings.data_dir, "backup", str(target)))
    else:
        postgres("pg_dump", "--format=custom", f"--file={target}", f"--dbname={url(settings)}")


def other_ways(settings: Settings, directory: Path) -> list[Path]:
    """The same by SQLite's own means: the online backup, page by page, and VACUUM INTO."""
    if settings.database_url is not None:
        return []
    online, vacuumed = directory / "online.db", directory / "vacuumed.db"
    source = sqlite3.connect(settings.data_dir / "certsync.db")
    target = sqlite3.connect(online)
    source.backup(target, pages=16)
    source.execute("VACUUM INTO ?", [str(vacuumed)])
    source.close()
    target.close()
    return [online, vacuumed]


def restore(settings: Settings, backup: Path, directory: Path, cluster: PostgresCluster) -> Settings:
    """Return settings of another host: its database is the backup, its keys are ours, it has no files."""
    directory.mkdir()
    shutil.copytree(settings.data_dir / "keys", directory / "keys")
    restored = Settings(data_dir=directory)
    if settings.database_url is None:
        shutil.copy(backup, directory / "certsync.db")
        return restored
    target = cluster.create_database()
    postgres("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={target}", str(backup))
    return restored.model_copy(update={"database_url": SecretStr(target)})


def postgres(program: str, *arguments: str) -> None:
    """Run a client program of the server that the tests use."""
    done: Any = subprocess.run(
        [find_binaries() / program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
