"""A server that speaks S3's protocol, in a process of its own, and what a test has in a bucket of it."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.storage.file_store import FileStore, RemoteObject
from tests.support.openssh import free_port
from tests.support.processes import until

EVERYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
PREFIX = "hill/certsync"


class S3Server:
    """moto's server; it forgets everything when it ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, 60)
        self.key = {"AccessKeyId": "anybody", "SecretAccessKey": "until there are accounts"}
        self.key = self.new_key(EVERYTHING)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def client(self, service: str = "s3") -> Any:
        """A client that has nothing to do with the one that is tested."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key["AccessKeyId"],
            aws_secret_access_key=self.key["SecretAccessKey"],
            region_name="us-east-1",
        )

    def new_key(self, policy: str) -> dict[str, str]:
        """An access key of a new user with these rights."""
        iam, user = self.client("iam"), f"user-{uuid4().hex}"
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="of-the-test", PolicyDocument=policy)
        found: dict[str, str] = iam.create_access_key(UserName=user)["AccessKey"]
        return found

    def new_bucket(self) -> "Bucket":
        name = f"bucket-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return Bucket(self, name)

    @contextmanager
    def accounts(self) -> Iterator[None]:
        """Ask for known keys, correct signatures and rights while the body runs."""
        before = self._post("reset-auth", "0")["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"]
        try:
            yield
        finally:
            self._post("reset-auth", before)

    def _post(self, what: str, body: str) -> dict[str, str]:
        url, headers = f"{self.endpoint}/moto-api/{what}", {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, body.encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, str] = json.loads(answer.read())
            return found

    def _answers(self) -> bool:
        assert self._process.poll() is None, "moto's server ended"
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/data.json", timeout=20):
                return True
        except OSError:
            return False


@dataclass
class Bucket:
    """A bucket of a test's own."""

    server: S3Server
    name: str

    def settings(self, settings: Settings, key: dict[str, str] | None = None, **changes: Any) -> Settings:
        """The same settings, with this bucket for a store, and a key that may do everything."""
        key = key or self.server.key
        return settings.model_copy(
            update={
                "storage_url": f"s3://{self.name}/{PREFIX}",
                "storage_endpoint": self.server.endpoint,
                "storage_region": "us-east-1",
                "storage_access_key_id": SecretStr(key["AccessKeyId"]),
                "storage_secret_access_key": SecretStr(key["SecretAccessKey"]),
            }
            | changes
        )

    def listed(self) -> set[str]:
        found = self.server.client().list_objects_v2(Bucket=self.name).get("Contents", [])
        return {item["Key"] for item in found}

    def write(self, key: str, content: bytes) -> None:
        self.server.client().put_object(Bucket=self.name, Key=key, Body=content)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One server for the whole session."""
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return s3_server.new_bucket()


async def keys(files: FileStore, folder: str = "downloads") -> set[str]:
    """What a store has below a folder."""
    return {stored.key async for stored in files.list(folder)}


async def content(files: FileStore, key: str) -> bytes:
    """What a store has under a key."""
    found = await files.open(key)
    if isinstance(found, RemoteObject):
        read = b"".join([chunk async for chunk in found.chunks])
        assert len(read) == found.size
        return read
    return await asyncio.to_thread(Path(found).read_bytes)
