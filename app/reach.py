"""Which districts' rows the work at hand reaches, where PostgreSQL keeps districts apart as well.

Every query filters by its district. Row-level security is the wall behind that (`app/row_security.py`): it
shows a query that forgot its filter the rows of one district alone, that of the work at hand. Each
transaction tells PostgreSQL which that is. Nothing here does anything on SQLite, or where the service's role
owns the tables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

DISTRICT_SETTING = "certsync.district"
CHORES = "_chores"
"""Ends the name of the role that reaches every district; it begins with that of the service's role."""
_GUARDED = "certsync_guarded"
"""Where a connection of a pool keeps whether row-level security holds for it."""


class _Reach(Enum):
    EVERYWHERE = "every district"
    NOWHERE = "no district"


_reach: ContextVar[str | _Reach | None] = ContextVar("reach", default=None)


class ReachUnknownError(RuntimeError):
    """A transaction began of which nobody has said whose rows it is about: a fault of the program."""


@contextmanager
def within_district(district_id: str) -> Iterator[None]:
    """Let the transactions that the body begins reach the rows of one district."""
    with _reaching(district_id):
        yield


@contextmanager
def everywhere() -> Iterator[None]:
    """Let the transactions that the body begins reach every district, as another role.

    Only for work that is of the whole deployment; a test lists the modules that may ask for it, and why.
    """
    with _reaching(_Reach.EVERYWHERE):
        yield


@contextmanager
def nowhere() -> Iterator[None]:
    """Let the transactions that the body begins reach no district: they are about the schema."""
    with _reaching(_Reach.NOWHERE):
        yield


def enter_district(district_id: str | None) -> None:
    """Let all that follows in this task, a request, reach the rows of one district; None for no district."""
    _reach.set(_Reach.NOWHERE if district_id is None else district_id)


@contextmanager
def _reaching(reach: str | _Reach) -> Iterator[None]:
    token = _reach.set(reach)
    try:
        yield
    finally:
        _reach.reset(token)


def tell_reach(engine: AsyncEngine) -> None:
    """Let each transaction of a PostgreSQL `engine` begin with whose rows it reaches, where that matters.

    Whether it does is asked once a connection: not for a role that owns the tables, or before there are any.
    The setting and the role end with the transaction, so that the pool hands on neither.
    """

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT coalesce(row_security_active(to_regclass('district')::oid), false)")
        [record.info[_GUARDED]] = cursor.fetchone()
        cursor.close()
        connection.rollback()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        if not is_guarded(connection):
            return
        reach = _reach.get()
        if reach is None:
            raise ReachUnknownError("say whose rows this transaction is about: see app/reach.py")
        if reach is _Reach.EVERYWHERE:
            statement = f"SELECT set_config('role', session_user || '{CHORES}', true)"
            connection.exec_driver_sql(statement)
        elif reach is not _Reach.NOWHERE:
            connection.exec_driver_sql(f"SELECT set_config('{DISTRICT_SETTING}', %s, true)", (reach,))


def is_guarded(connection: sa.Connection) -> bool:
    """Tell whether row-level security holds for a connection."""
    return bool(connection.info.get(_GUARDED))
