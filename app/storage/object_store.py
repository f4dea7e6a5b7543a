"""The store in a bucket of S3, or of what speaks its protocol (MinIO, Ceph …), for several hosts."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from app.errors import ConfigurationError
from app.failures import StorageFailed
from app.settings import Settings
from app.storage.file_store import RemoteObject, StoredKey

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ClientConfig, RetryConfig, S3Config

CONNECT = timedelta(seconds=5)
SILENCE = timedelta(seconds=30)
"""For the answer to one request, a part of an upload included, and between two reads of a download."""
ANSWER = 10.0
"""Seconds for what transfers no file, repetitions included; a person may be waiting."""
RETRIES: "RetryConfig" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
}
PART = 5 << 20
"""Bytes of a part of an upload; S3 takes up to 10,000 parts, and none that is smaller but the last."""
PARTS_AT_ONCE = 2
CHUNK = 256 << 10
PROBE, CHECK_KEPT = 2.0, 15.0
"""Seconds for a health check, and for which its answer is used again; each costs a request."""
URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9!_.*'()/-]*))?")
"""Names of buckets as Amazon documents them, and characters that are safe in keys."""
BUSY = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted"}
"""Codes that S3 answers when it cannot do now what it may do later."""
CODE = re.compile(r"<Code>(\w{1,60})</Code>")

log = structlog.get_logger()


class ObjectStore:
    """The bucket that `CERTSYNC_STORAGE_URL` names; raises ConfigurationError if the settings are wrong.

    Nothing is asked of it yet: an API serves most requests without.
    """

    def __init__(self, settings: Settings) -> None:
        bucket, prefix = _parse_url(settings.storage_url or "")
        self._url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._transfer = settings.storage_transfer_timeout
        self._checked: tuple[float, str] | None = None
        client: ClientConfig = {
            "connect_timeout": CONNECT,
            "read_timeout": SILENCE,
            "timeout": timedelta(seconds=self._transfer + 5),  # ours, in `_answering`, comes first
            "allow_http": (settings.storage_endpoint or "").startswith("http://"),
        }
        try:
            self._store = S3Store(
                bucket,
                prefix=prefix or None,
                config=_config(settings),
                client_options=client,
                retry_config=RETRIES,
            )
        except (BaseError, ValueError) as error:
            raise ConfigurationError(
                "CERTSYNC_STORAGE_URL and the other CERTSYNC_STORAGE_… settings do not fit together; give "
                "s3://bucket/prefix, and for a server other than Amazon's CERTSYNC_STORAGE_ENDPOINT"
            ) from error

    async def put(self, source: Path, key: str) -> None:
        """Upload a file in parts; it appears when the last one has arrived."""
        async with _answering(self._transfer):
            await obstore.put_async(self._store, key, source, chunk_size=PART, max_concurrency=PARTS_AT_ONCE)

    async def open(self, key: str) -> Path | RemoteObject:
        """Return an object whose content is read as it is wanted; FileNotFoundError if there is none."""
        return await self._open(key, ANSWER)

    async def _open(self, key: str, limit: float) -> RemoteObject:
        async with _answering(limit):
            found = await obstore.get_async(self._store, key)
        return RemoteObject(found.meta["size"], self._chunks(found.stream(min_chunk_size=CHUNK)))

    async def _chunks(self, stream: "BytesStream") -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._transfer
        while True:
            try:
                async with _answering(max(0.0, deadline - loop.time())):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            yield chunk

    async def remove(self, *keys: str) -> None:
        """Delete objects; one that is gone is fine."""
        for key in keys:
            async with _answering(ANSWER):
                await obstore.delete_async(self._store, key)

    def address(self, key: str) -> str:
        """Return the URL of an object."""
        return f"{self._url}/{key}"

    async def list(self, folder: str) -> AsyncIterator[StoredKey]:
        """Yield every object below a folder."""
        listing = obstore.list(self._store, folder)
        while True:
            try:
                async with _answering(ANSWER):
                    page = await anext(listing)
            except StopAsyncIteration:
                return
            for meta in page:
                yield StoredKey(meta["path"], meta["last_modified"])

    async def check(self) -> str:
        """Ask for an object that is not there: the answer tells of the bucket and of our right to read."""
        if self._checked is None or self._checked[0] < time.monotonic() - CHECK_KEPT:
            self._checked = (time.monotonic(), await self._probe())
        return self._checked[1]

    async def _probe(self) -> str:
        try:
            await self._open("health-check", PROBE)
        except FileNotFoundError:
            return ""
        except StorageFailed as failure:
            return f"the bucket cannot be read: {failure.diagnosis['error']}"
        return ""


def _parse_url(url: str) -> tuple[str, str]:
    found = URL.fullmatch(url)
    if found is None or ".." in url or "//" in (found[2] or ""):
        raise ConfigurationError(
            "CERTSYNC_STORAGE_URL cannot be used; give s3://bucket or s3://bucket/prefix, for example "
            "s3://hill-district/certsync, or leave it out for directories of CERTSYNC_DATA_DIR"
        )
    return found[1], (found[2] or "").strip("/")


def _config(settings: Settings) -> "S3Config":
    """Return what is set; the library fills the rest from AWS's own variables and the machine's role."""
    config: S3Config = {"disable_bulk_delete": True}  # not every server has it, and we delete few at a time
    if settings.storage_endpoint:
        parts = urlsplit(settings.storage_endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or "@" in parts.netloc:
            raise ConfigurationError(
                "CERTSYNC_STORAGE_ENDPOINT cannot be used; give the server's address without user or bucket, "
                "for example https://minio.example:9000"
            )
        config["endpoint"] = settings.storage_endpoint.rstrip("/")
    if settings.storage_region:
        config["region"] = settings.storage_region
    key, secret = settings.storage_access_key_id, settings.storage_secret_access_key
    if (key is None) != (secret is None):
        raise ConfigurationError(
            "Set both CERTSYNC_STORAGE_ACCESS_KEY_ID and CERTSYNC_STORAGE_SECRET_ACCESS_KEY, or neither for "
            "AWS's own variables and the role of the machine"
        )
    if key and secret:
        config["access_key_id"] = key.get_secret_value()
        config["secret_access_key"] = secret.get_secret_value()
    return config


@asynccontextmanager
async def _answering(limit: float) -> AsyncIterator[None]:
    """Give the body `limit` seconds, and say what went wrong; a FileNotFoundError is that of an object."""
    try:
        async with asyncio.timeout(limit):
            yield
    except TimeoutError as error:
        raise _failure("no answer in time") from error
    except FileNotFoundError as error:
        if (code := _code(error)) == "NoSuchKey":
            raise
        raise _failure(code or "404 Not Found", refused=True) from error
    except BaseError as error:
        code = _code(error)
        refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or code is not None
        raise _failure(code or type(error).__name__, refused=refused and code not in BUSY) from error


def _code(error: Exception) -> str | None:
    """Return the code of the answer, such as AccessDenied; None if there was none."""
    found = CODE.search(str(error))
    return found[1] if found else None


def _failure(reason: str, *, refused: bool = False) -> StorageFailed:
    log.warning("storage_failed", reason=reason)
    advice = (
        f"refused a request ({reason}). Nothing was changed. Ask the operator to check the settings "
        "CERTSYNC_STORAGE_… and the rights in the bucket, then run again."
        if refused
        else f"cannot be used now ({reason}). Nothing was changed. Run it again later; if it stays so, ask "
        "the operator to look at the storage, CERTSYNC_STORAGE_URL and CERTSYNC_STORAGE_ENDPOINT."
    )
    return StorageFailed(f"The storage of files {advice}", diagnosis={"error": reason})
