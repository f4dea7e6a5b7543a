"""Secrets are looked for in everything that a service says, stores and sends, whatever goes wrong.

Each has canaries for all its secrets. It imports, is refused, meets wrong servers, faults and crashes; then
logs, answers, traces, Redis, the database and every file are searched, for each secret in every form.
"""

import secrets
import socket
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pypdf
import pytest

from app.crypto import new_key
from app.embedded_redis import find_server, socket_path
from tests.support.canaries import canary, forms, leaks, plain_canary
from tests.support.collector import collecting
from tests.support.leaky_scenes import HOST, Credentials, go_about, strike
from tests.support.listeners import CommandLines, RedisCommands, redis_server
from tests.support.object_storage import Bucket, S3Server
from tests.support.openssh import OpenSshServer
from tests.support.postgres import PostgresCluster
from tests.support.watched import SECONDS, OnOneMachine, OnServers, Watched

pytestmark = pytest.mark.timeout(360)


@dataclass
class Kept:
    """What is left of a service that has ended: its secrets, and all that it said, stored and sent."""

    hidden: dict[str, str | bytes]
    sealed: dict[str, str | bytes]
    places: dict[str, bytes]
    failures: dict[str, str]
    working_directory: Path
    run: str


def own_secrets(directory: Path) -> tuple[dict[str, str | bytes], dict[str, str]]:
    """The keys of an instance, and the settings that name their files."""
    signing, key, other = canary("signing") + canary("key"), new_key(), new_key()
    for name, text in (("secret_key", signing), ("encryption_keys", f"{key}\n{other}")):
        (directory / name).write_text(text)
        (directory / name).chmod(0o400)
    hidden: dict[str, str | bytes] = {"SECRET_KEY": signing}
    for number, one in enumerate((key, other)):
        hidden |= {f"encryption key {number}": one, f"bytes of encryption key {number}": b64decode(one)}
    return hidden, {
        "CERTSYNC_SECRET_KEY_FILE": str(directory / "secret_key"),
        "CERTSYNC_ENCRYPTION_KEYS_FILE": str(directory / "encryption_keys"),
    }


def texts_of_pdfs(places: dict[str, bytes]) -> dict[str, bytes]:
    """What stands in each PDF, whose bytes are compressed."""
    readers = {
        name: pypdf.PdfReader(BytesIO(content)) for name, content in places.items() if name.endswith(".pdf")
    }
    return {
        f"text of {name}": "\n".join(page.extract_text() for page in reader.pages).encode()
        for name, reader in readers.items()
    }


def live(
    watched: Watched,
    hidden: dict[str, str | bytes],
    server: OpenSshServer,
    stack: ExitStack,
    redis: tuple[socket.socket, str | None] | None = None,
) -> Kept:
    """Let everything happen and return what is left of it."""
    lines = CommandLines()
    lines.start()
    stack.callback(lines.stop)
    watched.start_all()
    stack.callback(watched.stop)
    watched.until_ready()
    if redis is None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(socket_path(watched.data_dir)))
        redis = connection, None
    told = RedisCommands(*redis)
    told.start()
    stack.callback(told.stop)
    token = watched.login()
    opens = Credentials.of(server)
    directory = server.new_directory()
    failures = go_about(watched, opens, directory)
    with watched.without_database():
        watched.call("PUT", "/sftp-connection", opens.body(directory), 503)
    watched.until_ready()
    strike(watched, opens, directory)
    watched.stop()
    places = watched.places() | {"told to Redis": told.stop(), "command lines": lines.stop()}
    token_parts = {"token": token, "signature of the token": token.rpartition(".")[2]}
    sealed: dict[str, str | bytes] = {"pinned fingerprint": opens.wrong_pin}
    return Kept(
        {**hidden, **opens.hidden, **token_parts},
        sealed,
        places,
        failures,
        watched.working_directory,
        watched.known,
    )


@pytest.fixture(scope="module")
def on_servers(
    tmp_path_factory: pytest.TempPathFactory, openssh_server: OpenSshServer, s3_server: S3Server
) -> Iterator[Kept]:
    directory = tmp_path_factory.mktemp("servers")
    hidden, variables = own_secrets(directory)
    database, redis, s3 = (plain_canary(name) for name in ("database", "redis", "s3"))
    with ExitStack() as stack:
        cluster = PostgresCluster(fsync=True)  # its crash would take commits with it
        stack.callback(cluster.stop)
        url = cluster.create_database().replace("@", f":{quote(database, safe='')}@", 1)
        process, port = redis_server(find_server(), directory / "redis", redis)
        stack.callback(process.wait, SECONDS)
        stack.callback(process.kill)
        collector = stack.enter_context(collecting())
        bucket: Bucket = s3_server.new_bucket()
        variables |= {
            "CERTSYNC_ENVIRONMENT": "production",
            "CERTSYNC_ALLOW_INSTANCE_TOKENS": "true",
            "CERTSYNC_SFTP_ALLOWED_NETWORKS": "127.0.0.1",
            "CERTSYNC_DATABASE_URL": url,
            "CERTSYNC_REDIS_URL": f"redis://:{quote(redis, safe='')}@127.0.0.1:{port}/0",
            "CERTSYNC_STORAGE_URL": f"s3://{bucket.name}/certsync",
            "CERTSYNC_STORAGE_ENDPOINT": s3_server.endpoint,
            "CERTSYNC_STORAGE_REGION": "us-east-1",
            "CERTSYNC_STORAGE_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "CERTSYNC_STORAGE_SECRET_ACCESS_KEY": s3,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        watched = OnServers(directory, variables)
        watched.cluster, watched.database = cluster, url
        watched.certsync("migrate")
        watched.certsync("districts", "add", "default")
        watched.certsync("keys", "list")
        hidden |= {"password of PostgreSQL": database, "password of Redis": redis, "secret of S3": s3}
        redis_commands = socket.create_connection(("127.0.0.1", port)), redis
        kept = live(watched, hidden, openssh_server, stack, redis_commands)
        kept.places["traces"] = (
            b"".join(request.SerializeToString() for request in collector.requests) + collector.text.encode()
        )
        appended = (path for path in (directory / "redis").rglob("*") if ".aof" in path.suffixes)
        kept.places["file of Redis"] = b"".join(path.read_bytes() for path in appended)
        client = s3_server.client()
        for key in bucket.listed():
            kept.places[f"bucket {key}"] = client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
        kept.places |= texts_of_pdfs(kept.places)
        yield kept


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory: pytest.TempPathFactory, openssh_server: OpenSshServer) -> Iterator[Kept]:
    directory = tmp_path_factory.mktemp("one")
    hidden, variables = own_secrets(directory)
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        kept = live(OnOneMachine(directory, variables), hidden, openssh_server, stack)
        kept.places["traces"] = collector.text.encode()
        kept.places |= texts_of_pdfs(kept.places)
        yield kept


@pytest.fixture(params=["on_servers", "on_one_machine"])
def kept(request: pytest.FixtureRequest) -> Kept:
    found: Kept = request.getfixturevalue(request.param)
    return found


def test_no_secret_is_anywhere(kept: Kept) -> None:
    assert len(kept.hidden) > 12
    assert leaks(kept.hidden, kept.places) == []


def test_what_is_sealed_is_only_answered(kept: Kept) -> None:
    """Who may read the connection is shown its host and fingerprint; nobody else is."""
    shown = [name for name in kept.places if name == "answers"]
    elsewhere = {name: content for name, content in kept.places.items() if name not in shown}
    assert leaks(kept.sealed, {name: kept.places[name] for name in shown})
    assert leaks(kept.sealed, elsewhere) == []
    assert [name for name, content in elsewhere.items() if HOST.encode() in content] == []


def test_everything_that_was_to_happen_did(kept: Kept) -> None:
    """What is searched is what this says: a known text is found in each kind of place."""
    assert kept.failures["login"] == "sftp_auth_failed"
    assert kept.failures["fingerprint"] == "sftp_fingerprint_mismatch"
    assert kept.failures["table"] in {"internal_error", "database_error"}
    places, run = kept.places, kept.run.encode()
    everything = b"\n".join(places.values())
    for text in (b"database_unavailable", b"database_failed", b"run_failed", b"Fatal Python error: Aborted"):
        assert text in everything, text
    for name in ("answers", "told to Redis", "traces"):
        assert run in places[name], name
    assert b"application/problem+json" in places["headers"]
    assert b"app.cli\0worker" in places["command lines"]
    assert any("text of" in name and b"Licences" in text for name, text in places.items())
    assert any(name.endswith(".log") and run in text for name, text in places.items())


def test_the_servers_places_are_searched(on_servers: Kept) -> None:
    places, run = on_servers.places, on_servers.run.encode()
    for name in ("table run", "pg_wal", "file of Redis", f"bucket certsync/reports/{on_servers.run}.pdf"):
        assert run in places[name] or places[name].startswith(b"%PDF"), name
    assert b"v1." in places["table sftp_connection"]
    assert b"sftp_connection" in places["log of PostgreSQL"]
    assert b"request_failed" in places["serve.log"]


def test_the_one_machines_places_are_searched(on_one_machine: Kept) -> None:
    places, run = on_one_machine.places, on_one_machine.run.encode()
    database = places["data/certsync.db"] + places.get("data/certsync.db-wal", b"")
    assert b"sftp_connection" in database
    assert b"v1." in database
    assert any(".aof" in name and run in content for name, content in places.items())


def test_a_crash_left_no_image_of_the_memory(kept: Kept) -> None:
    assert list(kept.working_directory.iterdir()) == []


@pytest.mark.parametrize(
    "secret", [canary("any"), plain_canary("other"), secrets.token_bytes(32)], ids=["text", "word", "bytes"]
)
def test_a_secret_is_found_in_every_form(secret: str | bytes) -> None:
    known = {"it": secret}
    for form in forms(secret):
        assert "it in there" in leaks(known, {"there": b"before " + form + b" after"})
    assert leaks(known, {"there": b"something else"}) == []
