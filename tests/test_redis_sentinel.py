"""Redis behind Sentinels, named by one URL: the primary dies, another takes over, and work goes on."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import RedisError

from app import rate_limits
from app.child_process import ChildProcess, start_child
from app.embedded_redis import find_server
from app.errors import ConfigurationError
from app.factory import Factory
from app.models import District
from app.rate_limits import RateLimits
from app.redis_client import redis_client, redis_place
from app.services import run_reporting
from app.settings import Settings
from tests.support.imports import DISTRICT, TIMEZONE, empty_pdf
from tests.support.openssh import free_port
from tests.support.processes import until_async
from tests.support.queueing import add_run, ended, working

SECONDS = 40
PASSWORD = "p@ss/word"
SENTINEL = """
port {port}
dir {home}
requirepass sentinel-secret
sentinel monitor certsync 127.0.0.1 {primary} 2
sentinel auth-pass certsync {password}
sentinel down-after-milliseconds certsync 1000
sentinel failover-timeout certsync 4000
"""

# arq 0.28 closes its connection by a name that redis 5.3 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


class Cluster:
    """A primary, a replica and three Sentinels on ports of this machine."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._children: list[ChildProcess] = []
        self.servers = [free_port(), free_port()]
        self.sentinels = [free_port() for _ in range(3)]

    @property
    def url(self) -> SecretStr:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        secret = PASSWORD.replace("@", "%40").replace("/", "%2F")
        return SecretStr(f"redis+sentinel://:{secret}@{hosts}/certsync/0?sentinel_password=sentinel-secret")

    async def _start(self, name: str, *arguments: str) -> ChildProcess:
        home = self._home / name
        home.mkdir()
        with (home / "log").open("wb") as output:
            child = await start_child(
                [str(find_server()), *arguments, "--dir", str(home)], env={"LC_ALL": "C"}, output=output
            )
        self._children.append(child)
        return child

    async def start(self) -> None:
        primary, replica = self.servers
        common = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", "", "--bind", "127.0.0.1")
        self.primary = await self._start("primary", "--port", str(primary), *common)
        follow = ("--replicaof", f"127.0.0.1 {primary}")
        await self._start("replica", "--port", str(replica), *follow, *common)
        for port in self.sentinels:
            file = self._home / f"sentinel-{port}.conf"
            text = SENTINEL.format(port=port, primary=primary, password=PASSWORD, home=self._home)
            file.write_text(text)
            await self._start(f"s{port}", str(file), "--sentinel")
        await until_async(self._is_whole, SECONDS)

    async def _is_whole(self) -> bool:
        """Tell whether every Sentinel knows the replica and the others: only then they can agree."""
        for port in self.sentinels:
            client: Any = Redis(port=port, password="sentinel-secret", decode_responses=True)
            async with client:
                try:
                    state = (await client.sentinel_masters())["certsync"]
                except (RedisError, OSError):
                    return False
            if state["num-slaves"] < 1 or state["num-other-sentinels"] < 2:
                return False
        return True

    async def stop(self) -> None:
        for child in self._children:
            child.kill()
            await child.wait()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path / "cluster")
    (tmp_path / "cluster").mkdir()
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def test_rate_limits_are_counted_by_whichever_is_the_primary(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "PAUSE", 0.1)
    counted = RateLimits(Settings(redis_url=cluster.url, rate_limit_per_minute=60))
    try:
        for left in (59, 58):
            count = await counted.take("token", "x")
            assert count
            assert count.left == left
        cluster.primary.kill()
        await cluster.primary.wait()
        await until_async(lambda: counted.take("token", "x"), SECONDS)
    finally:
        await counted.close()


async def test_work_goes_on_when_the_primary_dies(
    cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_reporting, "render_pdf", empty_pdf)
    factory = Factory(settings.model_copy(update={"redis_url": cluster.url}))
    try:
        async with factory.database.write() as session:
            session.add(District(id=DISTRICT, name="Default", timezone=TIMEZONE))
        async with working(factory.settings):
            run = await add_run(factory)
            assert await factory.queue.enqueue_run(run.id, "start")
            await ended(factory, run)
            async with factory.import_lock.held(DISTRICT, uuid4(), uuid4()):
                assert await factory.import_lock.holder(DISTRICT)
            cluster.primary.kill()
            await cluster.primary.wait()
            run = await add_run(factory)
            await until_async(lambda: factory.queue.enqueue_run(run.id, "again"), SECONDS)
            await ended(factory, run)
            async with factory.import_lock.held(DISTRICT, uuid4(), uuid4()):
                assert await factory.import_lock.holder(DISTRICT)
    finally:
        await factory.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel:///name",
        "redis+sentinel://one:port/name",
        "redis+sentinel://one,,two/name",
        "redis+sentinel://one/name/zero",
        "redis+sentinel://one/name?sentinel_pasword=x",
        "redis+sentinel://one/name?ssl_ca_certs=/ca.pem",
        "sentinel://one/name",
        "http://one",
        "one:6379",
    ],
)
def test_a_url_that_cannot_be_read_is_refused(tmp_path: Path, url: str) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=SecretStr(url))
    with pytest.raises(ConfigurationError, match=re.escape("CERTSYNC_REDIS_URL cannot be read")):
        redis_client(settings, Redis)


def test_what_a_url_says(tmp_path: Path) -> None:
    url = "rediss+sentinel://me:s%40crt@one,two:7000/licences/3?sentinel_password=x&ssl_ca_certs=/ca.pem"
    settings = Settings(data_dir=tmp_path, redis_url=SecretStr(url))
    pool: Any = redis_client(settings, Redis).connection_pool
    options = pool.connection_kwargs
    assert (pool.service_name, options["db"], options["username"], options["password"]) == (
        "licences",
        3,
        "me",
        "s@crt",
    )
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in sentinels] == [
        ("one", 26379, "x"),
        ("two", 7000, "x"),
    ]
    assert {one["ssl_ca_certs"] for one in (options, *sentinels)} == {"/ca.pem"}
    assert issubclass(pool.connection_class, SSLConnection)
    assert redis_place(settings) == "one,two:7000"
