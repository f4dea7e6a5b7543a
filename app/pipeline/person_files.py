"""Which kept licence files name a person, in which lines. Nothing of a file is changed: it is evidence."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from app.failures import RunFailure
from app.models import ImportFile
from app.pipeline.columns import Columns, find_columns
from app.pipeline.layout import FieldName, Layout
from app.pipeline.parse import HEAD_LINES
from app.pipeline.person import Grade, Person
from app.pipeline.text_format import examine, records
from app.storage.download_folder import DownloadFolder, FileTampered

WHO: tuple[FieldName, ...] = ("EducatorID", "LastName", "FirstName")


@dataclass
class Searched:
    """A kept file: the lines of the person's Educator ID with their cells, and lines of the same name alone.

    A file that cannot be read, because it is no licence file or was altered, may name anybody.
    """

    file: ImportFile
    lines: list[dict[str, object]] = field(default_factory=list)
    same_name: list[int] = field(default_factory=list)
    unreadable: bool = False

    @property
    def may_name(self) -> bool:
        """Whether the person stands in it, as far as can be told."""
        return bool(self.lines or self.same_name or self.unreadable)


async def search(
    downloads: DownloadFolder, file: ImportFile, layout: Layout, person: Person, scratch: Path
) -> Searched:
    """Look through a kept file for the person, in a thread: a file may have millions of lines."""
    searched = Searched(file)
    try:
        path = await downloads.get(file, scratch)
    except FileNotFoundError:
        return searched
    except FileTampered:
        searched.unreadable = True
        return searched
    await asyncio.to_thread(_search, path, layout, person, searched)
    return searched


def _search(path: Path, layout: Layout, person: Person, into: Searched) -> None:
    try:
        text_format = examine(path, layout.encoding)
    except RunFailure:
        into.unreadable = True
        return
    with path.open(encoding=text_format.encoding, errors="surrogateescape", newline="") as stream:
        try:
            columns = find_columns(list(islice(stream, HEAD_LINES)), layout)
        except RunFailure:  # the columns of a refused file may be anything
            columns = None
        stream.seek(0)
        if columns is None:
            rows: Iterator[tuple[int, list[str], str]] = (
                (number, [line.rstrip("\r\n")], "no columns") for number, line in enumerate(stream, 1)
            )
        else:
            rows = records(stream, columns.delimiter, len(columns.headers), damaged=text_format.damaged)
        for line, fields, fault in rows:
            _judge(person, columns, line, fields, faulty=bool(fault), into=into)


def _judge(
    person: Person,
    columns: Columns | None,
    line: int,
    fields: list[str],
    *,
    faulty: bool,
    into: Searched,
) -> None:
    if faulty or columns is None:
        grade = person.in_text(fields[0])
        cells: dict[str, str] = {"": fields[0]}
    else:
        at = [columns.at[name] for name in WHO if name in columns.at]
        grade = (
            person.grade(*(fields[place] for place in at)) if len(at) == len(WHO) else person.in_cells(fields)
        )
        cells = dict(zip(columns.headers, fields, strict=True))
    if grade is Grade.ID:
        into.lines.append({"line": line, "cells": cells})
    elif grade is Grade.NAME:
        into.same_name.append(line)
