"""Bodies of the connection to the state's server, and of attempts to use it."""

import re
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints

from app.api.schemas.base import Answer, Body, Example, Name, RemotePath, no_control_characters
from app.constants import ConnectionPhase
from app.storage.sftp import normalise_fingerprint

FINGERPRINT = "SHA256:uNiVztksCsDhcc0u9e8BrcQXKmPQ3ZtNvrk0Yq3fJYU"
EXAMPLE: Example = {
    "host": "sftp.state.example",
    "port": 22,
    "username": "district42",
    "fingerprint": FINGERPRINT,
    "directory": "/outgoing",
}
HOST = re.compile(r"[^\s/@\\]+")


def check_host(text: str) -> str:
    """Return `text`, or raise ValueError when it has parts of an address that belong elsewhere."""
    if "://" in text or not HOST.fullmatch(text):
        raise ValueError("must be a host name or an IP address alone: no sftp://, no user, no directory")
    return text


def check_fingerprint(value: object) -> object:
    """Return the fingerprint in its one form; raises ValueError that says what to give."""
    return normalise_fingerprint(value) if isinstance(value, str) else value


Host = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(no_control_characters),
    AfterValidator(check_host),
    Field(json_schema_extra={"pattern": r"^[^\s/@\\]+$"}),
]
Port = Annotated[int, Field(ge=1, le=65535)]


class ConnectionPut(Body):
    """The connection as a whole.

    A secret that is left out is kept, as long as host, port, user and fingerprint stay the same; null
    removes it.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE | {"password": "correct horse"}]})

    host: Host
    port: Port = 22
    username: Name
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Logs in, or opens `private_key` if one is given and encrypted."
    )
    private_key: Annotated[SecretStr, Field(min_length=1, max_length=65536)] | None = Field(
        None, description="In OpenSSH, PKCS#1 or PKCS#8 text form; logs in instead of the password."
    )
    fingerprint: Annotated[str, BeforeValidator(check_fingerprint), Field(max_length=128)] = Field(
        description="SHA-256 fingerprint of the server's host key. It is checked at every connection, "
        "before any credential is sent."
    )
    directory: RemotePath = Field(".", description="Where the licence files lie.")


class ConnectionOut(Answer):
    """The connection without its secrets."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE | {"has_password": True, "has_private_key": False, "version": 7}]
        }
    )

    host: str
    port: int
    username: str
    has_password: bool
    has_private_key: bool
    fingerprint: str
    directory: str
    version: int


class ScanRequest(Body):
    """Whom to ask for host keys."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"host": EXAMPLE["host"], "port": 22}]})

    host: Host
    port: Port = 22


class Failure(Answer):
    """Why an attempt failed, with one of the codes of a run's failure."""

    code: str = Field(examples=["sftp_auth_failed"])
    message: str


class ListedFile(Answer):
    """A licence file on the server; `datestamp` is the local time in its name, `size` is in bytes."""

    name: str = Field(examples=["Curr_Lic_Eds_End_Limits_20261122.csv"])
    datestamp: datetime = Field(examples=["2026-11-22T00:00:00"])
    size: int


class TestResult(Answer):
    """What an attempt to connect and to list the directory gave."""

    ok: bool
    files: list[ListedFile] = Field(description="The newest first; recognised names only.")
    failure: Failure | None


class HostKey(Answer):
    """A host key that a server offers."""

    algorithm: str = Field(examples=["ssh-ed25519"])
    fingerprint: str = Field(examples=[FINGERPRINT])


class ScanResult(Answer):
    """The host keys of a server, for a person to compare with what the state announced."""

    ok: bool
    host_keys: list[HostKey]
    failure: Failure | None


class EventOut(Answer):
    """One attempt to use the connection."""

    id: UUID
    at: datetime
    host: str
    port: int
    username: str
    phase: ConnectionPhase = Field(description="How far it came.")
    outcome: Literal["success", "failure"]
    failure_code: str | None
    message: str = Field(description="For people; empty on success.")
    run_id: UUID | None = Field(description="Null for a test of the connection.")
