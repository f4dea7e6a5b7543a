"""The floor: the bytes of the file in a plain text table, by the quickest way each database has."""

import csv
import sqlite3
import time
from pathlib import Path

import psycopg

from app.settings import Settings


def load_file(settings: Settings, file: Path) -> float:
    """Return the seconds it takes to load the file's rows unexamined."""
    began = time.perf_counter()
    if settings.database_url is None:
        _sqlite(settings.data_dir / "floor.db", file)
    else:
        _postgresql(settings.database_url.get_secret_value(), file)
    return time.perf_counter() - began


def _columns(file: Path) -> list[str]:
    with file.open(newline="", encoding="utf-8") as text:
        return next(csv.reader(text))


def _sqlite(path: Path, file: Path) -> None:
    path.unlink(missing_ok=True)
    columns = _columns(file)
    with sqlite3.connect(path) as database, file.open(newline="", encoding="utf-8") as text:
        database.execute("PRAGMA journal_mode=OFF")
        database.execute(f"CREATE TABLE floor ({', '.join(columns)})")
        rows = (row for row in csv.reader(text) if len(row) == len(columns))
        database.executemany(f"INSERT INTO floor VALUES ({', '.join('?' * len(columns))})", rows)
    database.close()


def _postgresql(url: str, file: Path) -> None:
    # One text column: the file has rows of a wrong width, which COPY into columns would refuse.
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS floor")
        cursor.execute("CREATE UNLOGGED TABLE floor (line text)")
        into = "COPY floor FROM STDIN (FORMAT csv, DELIMITER e'\\x01', QUOTE e'\\x02')"
        with cursor.copy(into) as copy, file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                copy.write(chunk)
