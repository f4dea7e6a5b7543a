"""A district whose people are loaded and whose connection stands, beside a floor with the same people."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from pydantic import SecretStr
from sqlmodel import SQLModel

from app.constants import DEFAULT_DISTRICT
from app.database_urls import database_url
from app.demo.world import World
from app.embedded_redis import EmbeddedRedis, find_server
from app.factory import Factory
from app.settings import Settings
from app.storage.table_copy import count
from benchmarks.days import write_day
from benchmarks.floor import Floor
from benchmarks.import_child import ImportWorker
from benchmarks.prepare import make_world_of, prepare
from benchmarks.server import FileServer
from tests.support.postgres import PostgresCluster

RECORDS = ("certification", "endorsement")
TASK = {"description": "nightly", "status": "inactive", "recurrence": [], "timezone": "UTC"}


@dataclass(frozen=True)
class Settled:
    """What the parts about imports measure with; `directory` is scratch space."""

    settings: Settings
    worker: ImportWorker
    floor: Floor
    server: FileServer
    world: World
    directory: Path

    def serve(self, percent: int) -> None:
        """Let the server have the file of a day on which `percent` of the licences differ from day 0."""
        file = self.directory / f"{percent}.csv"
        if not file.exists():
            write_day(self.world, percent, file)
        self.server.serve(file, self.world.file_name)

    def rest(self) -> None:
        """Clean up after an import as the database does it some minutes later, so that none pays for it."""
        for settings in (self.settings, self.floor.settings):
            if settings.database_url is not None:
                url = settings.database_url.get_secret_value()
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("VACUUM (ANALYZE) employee, certification, endorsement, run_finding")
                    connection.execute("CHECKPOINT")

    def unlike(self) -> list[str]:
        """Say which kinds of records the floor holds another number of, and how many each holds."""
        ours, theirs = (_numbers(settings) for settings in (self.settings, self.floor.settings))
        return [
            f"{theirs[kind]:,} {kind}s of {ours[kind]:,}" for kind in RECORDS if ours[kind] != theirs[kind]
        ]


def _numbers(settings: Settings) -> dict[str, int]:
    url = database_url(settings)
    engine = sa.create_engine(url.set(drivername=url.drivername.removesuffix("+aiosqlite")))
    try:
        with engine.connect() as connection:
            return {kind: count(connection, SQLModel.metadata.tables[kind]) for kind in RECORDS}
    finally:
        engine.dispose()


@contextmanager
def settled(database: str, employees: int, rows: int) -> Iterator[Settled]:
    """Yield a new district of that size, with its people and no records yet."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certsync-bench-")))
        redis = EmbeddedRedis(directory / "redis", find_server())
        runner = stack.enter_context(asyncio.Runner())
        child = runner.run(redis.start())
        stack.callback(lambda: runner.run(child.stop(5)))
        common = Settings(redis_url=SecretStr(redis.url))
        server = stack.enter_context(FileServer())
        world = make_world_of(employees, rows)
        mine, floor = directory / "certsync", directory / "floor"
        mine.mkdir()
        if database == "sqlite":
            settings = common.model_copy(update={"data_dir": mine})
            runner.run(_settle(settings, world, server))
            shutil.copytree(mine, floor)
            beside = common.model_copy(update={"data_dir": floor})
        else:
            cluster = PostgresCluster(fsync=True)
            stack.callback(cluster.stop)
            url = cluster.create_database()
            settings = common.model_copy(update={"data_dir": mine, "database_url": SecretStr(url)})
            runner.run(_settle(settings, world, server))
            name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
            beside = common.model_copy(
                update={"database_url": SecretStr(cluster.create_database(template=name))}
            )
        worker = stack.enter_context(ImportWorker(settings))
        district = Settled(settings, worker, Floor(beside), server, world, directory)
        district.rest()
        yield district


async def _settle(settings: Settings, world: World, server: FileServer) -> None:
    """Load the people, and give the district a connection to the server and a task."""
    await prepare(settings, world)
    factory = Factory(settings)
    try:
        await factory.connections.put(DEFAULT_DISTRICT, "benchmark", server.connection, None)
        await factory.tasks.create(DEFAULT_DISTRICT, "benchmark", TASK)
    finally:
        await factory.close()
