"""The engine, its transactions, and the guard between an import and other writers of a district.

One class serves both databases, so that nothing above it asks which one it talks to.
"""

import functools
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.database_urls import database_url
from app.errors import ServiceUnavailableError
from app.failures import DatabaseFailed
from app.reach import tell_reach
from app.settings import Settings

log = structlog.get_logger()

SQLITE_PRAGMAS = {
    "journal_mode": "WAL",  # readers go on while one writes
    "synchronous": "NORMAL",  # with WAL: safe against a crash of the process
    "busy_timeout": "5000",  # ms a writer waits for another
    "foreign_keys": "ON",
    "cache_size": "-65536",  # KiB
    "temp_store": "FILE",  # staging tables must not grow in memory
    "secure_delete": "ON",  # what is deleted is overwritten: it may be of a person
}
GUARD_WAIT = "10s"
"""How long PostgreSQL lets a replace or a writer of employees wait for a district's guard."""
GUARD_TRIES = 6
"""How often a replace waits for the guard, `GUARD_WAIT` each, while others write employees."""
GUARD_LIMITS = {
    "idle_in_transaction_session_timeout": "8s",
    "statement_timeout": "20s",
    "tcp_user_timeout": "10s",
}
"""What PostgreSQL ends a replace for, so that one that is stopped or cut off gives the guard back.

A write of many employees may pause longer than that between two statements.
"""
EDIT_IDLE = "20s"
"""The same for the silence of an edit, which keeps only the next replace waiting."""
SESSION_LIMITS = {
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "30s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}
"""What PostgreSQL ends any transaction of ours for: a process stopped or cut off must not keep its locks."""
CONNECTIONS = (10, 10)
"""Of a process to PostgreSQL: those that stay, and how many more under load (see `docs/deploy.md`)."""
CONNECTIONS_OF_A_RUN = 4
"""At most: its work, its heartbeat, a look at the guard, and what it finds."""
WATCHING = (1, 4)
"""The same of who watches the process: it must get through when requests have taken all others."""
ENDED_BY_SERVER = {"25P03", "40P01", "57014"}
"""What PostgreSQL says of a transaction that it ended for silence, a deadlock, or a statement's limit.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""
POOL_WAIT = 10
"""Seconds for a free connection of the pool."""
CLIENT_LIMITS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}
"""libpq's: when this side gives up a server that it cannot reach any more."""


def md5_hex(text: str) -> str:
    """Return the MD5 of `text` in hexadecimal, as PostgreSQL's function of that name does."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def configure_sqlite(engine: AsyncEngine) -> None:
    """Make every SQLite connection of `engine` durable, checked, and explicit about its transactions.

    The driver's own implicit BEGIN is always deferred, and a deferred read-then-write fails at once
    where an immediate one waits; so the driver is told to leave transactions to us.
    """

    @sa.event.listens_for(engine.sync_engine, "connect", insert=True)
    def _connect(connection: Any, _record: object) -> None:
        # The driver's thread ends at the first stop; whoever asks for a second waits for ever, and with
        # him the end of the process. A request that is given up while it gives up its connection asks twice.
        driver = connection.driver_connection
        driver.stop = functools.cache(driver.stop)
        connection.isolation_level = None
        cursor = connection.cursor()
        for name, value in SQLITE_PRAGMAS.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()
        connection.create_function("md5", 1, md5_hex, deterministic=True)

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")


def configure_postgresql(engine: AsyncEngine, limits: dict[str, str]) -> None:
    """Give every connection of `engine` these settings; close what a cancelled query leaves open."""

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for limit in limits.items():
            cursor.execute("SELECT set_config(%s, %s, false)", limit)
        cursor.close()
        connection.commit()

    @sa.event.listens_for(engine.sync_engine, "handle_error")
    def _close_cursor(context: sa.engine.ExceptionContext) -> None:
        # SQLAlchemy gives up the connection of a cancelled task, but forgets its server-side cursor.
        execution = context.execution_context
        if context.is_disconnect and execution is not None:
            execution.cursor.close()


class Database:
    """The connections of one process.

    `engine` serves reads, `writer` the same pool with SQLite's write lock taken at BEGIN. PostgreSQL ends
    a statement after `statement_limit` seconds, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        statement_limit: int | None = None,
        connections: tuple[int, int] = CONNECTIONS,
    ) -> None:
        url = database_url(settings)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = create_async_engine(url, hide_parameters=True)
            configure_sqlite(self.engine)
        else:
            self.engine = create_async_engine(
                url,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=connections[0],
                max_overflow=connections[1],
                pool_timeout=POOL_WAIT,
                connect_args=CLIENT_LIMITS,
            )
            limits = {"statement_timeout": f"{statement_limit}s"} if statement_limit else {}
            configure_postgresql(self.engine, SESSION_LIMITS | limits)
            tell_reach(self.engine)
        self.writer = self.engine.execution_options(sqlite_begin="IMMEDIATE")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for queries; nothing of it is committed."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def look(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection for queries whose rows need no session, which costs as much as a small query."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Yield a session in a transaction that is committed at the end, or rolled back by an exception.

        Raises ServiceUnavailableError when the database stays locked by another writer, or PostgreSQL
        ended the transaction for its limits or a deadlock.
        """
        try:
            async with AsyncSession(self.writer, expire_on_commit=False) as session, session.begin():
                yield session
        except (OperationalError, InternalError) as error:
            if is_lock_timeout(error) or getattr(error.orig, "sqlstate", None) in ENDED_BY_SERVER:
                raise ServiceUnavailableError(
                    "The database is busy with another change. Try again shortly.",
                    headers={"Retry-After": "5"},
                ) from error
            raise

    async def empty_log(self) -> bool:
        """Empty SQLite's write-ahead log, which has old pages; False when readers keep it from us."""
        if not self.is_sqlite:
            return True
        async with self.engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            found = await raw.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        return not next(iter(found))[0]

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


GUARD = "hashtextextended('certsync/' || :district, 0)"


async def take_guard(connection: AsyncConnection, district_id: str, *, shared: bool) -> None:
    """Hold the district's guard until the transaction ends: shared for writers, exclusive for a replace.

    On SQLite BEGIN IMMEDIATE has already done it. Raises OperationalError after `GUARD_WAIT`.
    """
    if connection.dialect.name == "sqlite":
        return
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    limits = {} if shared else GUARD_LIMITS
    await _guard(connection, function, limits | {"lock_timeout": GUARD_WAIT}, district_id)


async def try_guard(connection: AsyncConnection, district_id: str) -> bool:
    """Take the guard shared if no replace holds it or waits for it; on SQLite see `take_guard`."""
    if connection.dialect.name == "sqlite":
        return True
    limits = GUARD_LIMITS | {"lock_timeout": GUARD_WAIT, "idle_in_transaction_session_timeout": EDIT_IDLE}
    return bool(await _guard(connection, "pg_try_advisory_xact_lock_shared", limits, district_id))


@asynccontextmanager
async def holding_guard(connection: AsyncConnection, district_id: str) -> AsyncIterator[None]:
    """Commit what the body does while the district's guard keeps everybody else out.

    Raises DatabaseFailed when others keep it for too long.
    """
    for _ in range(GUARD_TRIES):
        try:
            await connection.begin()
            await take_guard(connection, district_id, shared=False)
        except OperationalError as error:
            await connection.rollback()
            if not is_lock_timeout(error):
                raise
            log.info("guard_waited_for", district=district_id)
            continue
        try:
            yield
        except BaseException:
            with suppress(SQLAlchemyError):  # of a lost connection; what happened before it tells more
                await connection.rollback()
            raise
        await connection.commit()
        return
    raise DatabaseFailed(
        "Somebody else wrote employees of the district for minutes. Nothing was changed. Run it again later."
    )


async def _guard(
    connection: AsyncConnection, function: str, limits: dict[str, str], district_id: str
) -> object:
    """Set the transaction's limits, then call the lock's function: one statement, since others wait."""
    settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())
    query = sa.text(f"SELECT {settings}, {function}({GUARD})")
    return (await connection.execute(query, {"district": district_id})).one()[-1]


def is_lock_timeout(error: DBAPIError) -> bool:
    """Tell whether a statement gave up waiting for another writer, on either database."""
    return getattr(error.orig, "sqlstate", None) == "55P03" or "database is locked" in str(error.orig)
