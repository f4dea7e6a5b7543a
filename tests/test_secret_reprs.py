"""What objects that hold secrets say of themselves, and exceptions of those that they meet."""

import copy
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis.exceptions
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from app.api.schemas.sftp_connection import ConnectionPut
from app.cli.common import load_settings
from app.crypto import DecryptionError, new_key
from app.errors import ConfigurationError
from app.factory import Factory
from app.settings import Settings
from app.storage.sftp import SftpTarget, check_private_key
from tests.support.canaries import canary, leaks, plain_canary
from tests.support.keyring import target
from tests.support.openssh import free_port

Hidden = dict[str, str | bytes]


@pytest.fixture
def hidden() -> Hidden:
    names = ("database", "redis", "s3")
    return {
        **{name: plain_canary(name) for name in names},
        "signing": canary("signing") * 2,
        "encryption": new_key(),
        "password": canary("password"),
    }


@pytest.fixture
def settings(tmp_path: Path, hidden: Hidden) -> Settings:
    """Of servers that do not answer."""
    plain = {name: str(value) for name, value in hidden.items()}
    port = free_port()
    return Settings(
        data_dir=tmp_path,
        database_url=SecretStr(f"postgresql://u:{quote(plain['database'], safe='')}@127.0.0.1:{port}/name"),
        redis_url=SecretStr(f"redis://:{quote(plain['redis'], safe='')}@127.0.0.1:{port}/0"),
        secret_key=SecretStr(plain["signing"]),
        encryption_keys=[SecretStr(plain["encryption"])],
        storage_url="s3://bucket/prefix",
        storage_endpoint=f"http://127.0.0.1:{port}",
        storage_region="us-east-1",
        storage_access_key_id=SecretStr("AKIDEXAMPLE"),
        storage_secret_access_key=SecretStr(plain["s3"]),
    )


def parts(thing: object, depth: int = 3) -> Iterator[str]:
    """Yield what an object and what it is made of say of themselves."""
    yield repr(thing)
    yield str(thing)
    if depth and not isinstance(thing, (str, bytes, int, float, SecretStr)):
        for value in list(getattr(thing, "__dict__", {}).values()):
            if type(value).__module__.startswith("app."):
                yield from parts(value, depth - 1)


def shown(*things: object) -> dict[str, bytes]:
    return {"there": "\n".join(text for thing in things for text in parts(thing)).encode()}


def said(error: BaseException) -> dict[str, bytes]:
    """An exception as a log, a debugger or a crash reporter may print it, with its causes."""
    return {"there": "".join([*traceback.format_exception(error), repr(error), str(error)]).encode()}


async def test_objects_do_not_show_secrets(settings: Settings, hidden: Hidden) -> None:
    factory = Factory(settings)
    opens: SftpTarget = target("hill", password=SecretStr(str(hidden["password"])))
    body = ConnectionPut(
        host="h", username="u", fingerprint="SHA256:" + "A" * 43, directory="/",
        password=SecretStr(str(hidden["password"])),
    )  # fmt: skip
    things = [
        settings, settings.model_dump(), settings.model_dump_json(), copy.deepcopy(settings), factory,
        factory.database.engine, factory.database.engine.url, factory.queue.redis,
        factory.queue.redis.connection_pool, opens, body, body.model_dump_json(),
    ]  # fmt: skip
    found = shown(*things)
    assert b"127.0.0.1" in found["there"]
    assert b"EncryptionKeys" in found["there"]
    assert leaks(hidden, found) == []
    await factory.close()


async def test_exceptions_do_not_quote_secrets(settings: Settings, hidden: Hidden) -> None:
    factory = Factory(settings)
    errors: list[BaseException] = []

    async def caught(kind: Any, call: Any) -> None:
        with pytest.raises(kind) as failure:
            await call
        errors.append(failure.value)

    await caught(sa.exc.OperationalError, factory.keys.check())
    await caught(redis.exceptions.ConnectionError, factory.queue.ping())
    with pytest.raises(DecryptionError) as failure:
        factory.cipher.decrypt(factory.cipher.encrypt(str(hidden["password"]), "here"), "there")
    errors.append(failure.value)
    password = str(hidden["password"])
    with pytest.raises(ValueError, match="private key") as refused:
        check_private_key(f"-----BEGIN {password}", password)
    errors.append(refused.value)
    for error in errors:
        assert leaks(hidden, said(error)) == []
    await factory.close()


def test_a_wrong_setting_is_told_without_the_others(monkeypatch: pytest.MonkeyPatch, hidden: Hidden) -> None:
    monkeypatch.setenv("CERTSYNC_SECRET_KEY", str(hidden["signing"]))
    monkeypatch.setenv("CERTSYNC_ENCRYPTION_KEYS", str(hidden["encryption"]))
    monkeypatch.setenv("CERTSYNC_STORAGE_REGION", "us-east-1")
    with pytest.raises(ConfigurationError, match="STORAGE_URL") as caught:
        load_settings()
    assert isinstance(caught.value.__cause__, ValidationError)
    assert leaks(hidden, said(caught.value)) == []
