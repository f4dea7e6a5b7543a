"""Bodies of the connection to the state's server, and of attempts to use it."""

import re
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints

from app.api.schemas.base import Answer, Body, Day, Example, Name, RemotePath, no_control_characters
from app.constants import ConnectionStanding, Pin
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
Fingerprint = Annotated[str, BeforeValidator(check_fingerprint), Field(max_length=128)]


class ConnectionPut(Body):
    """The connection as a whole.

    A secret that is left out is kept, as long as host, port, user and fingerprint stay the same and no other
    is announced; null removes it.
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
    fingerprint: Fingerprint = Field(
        description="SHA-256 fingerprint of the server's host key. It is checked at every connection, "
        "before any credential is sent."
    )
    announced_fingerprint: Fingerprint | None = Field(
        None, description="Of the next host key, when the state announced one: it is accepted as well."
    )
    announced_from: Day | None = Field(
        None,
        description="The first day, in the district's time zone, on which the announced one is accepted; "
        "without it, at once.",
    )
    directory: RemotePath = Field(".", description="Where the licence files lie.")


class HostKey(Answer):
    """A host key that a server offers."""

    algorithm: str = Field(examples=["ssh-ed25519"])
    fingerprint: str = Field(examples=[FINGERPRINT])


class HostKeyChange(Answer):
    """Host keys that the server showed in place of the pinned one."""

    at: datetime
    run_id: UUID | None = Field(description="The run that met them; null for a test by hand.")
    offered: list[HostKey]


class Proposal(Answer):
    """A change of a pinned fingerprint that a second administrator has to confirm."""

    id: UUID
    proposed_by: str
    proposed_at: datetime
    host: str
    port: int
    username: str
    fingerprint: str
    announced_fingerprint: str | None
    announced_from: date | None
    directory: str


class ConnectionOut(Answer):
    """The connection without its secrets."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE
                | {
                    "has_password": True,
                    "has_private_key": False,
                    "fingerprint_since": "2026-09-01T12:00:00Z",
                    "announced_fingerprint": None,
                    "announced_from": None,
                    "announced_since": None,
                    "host_key_in_use": "current",
                    "host_key_seen_at": "2026-11-22T07:30:02Z",
                    "state": "ok",
                    "until": None,
                    "consecutive_failures": 0,
                    "host_key_change": None,
                    "proposal": None,
                    "version": 7,
                }
            ]
        }
    )

    host: str
    port: int
    username: str
    has_password: bool
    has_private_key: bool
    fingerprint: str
    fingerprint_since: datetime | None = Field(description="Null when that was not recorded yet.")
    announced_fingerprint: str | None
    announced_from: date | None
    announced_since: datetime | None
    host_key_in_use: Pin | None = Field(
        description="Which pin the server's host key had when it was last met."
    )
    host_key_seen_at: datetime | None
    directory: str
    state: ConnectionStanding = Field(
        description="`stopped`: the server showed a host key that is not pinned, and no run connects. "
        "`backing_off`: logins failed, and the schedule does not connect until `until`."
    )
    until: datetime | None
    consecutive_failures: int = Field(description="Failed logins in a row.")
    host_key_change: HostKeyChange | None = Field(description="For what the connection is stopped.")
    proposal: Proposal | None = Field(description="What waits for a second administrator.")
    version: int


class AcceptRequest(Body):
    """Which host key is accepted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"fingerprint": FINGERPRINT}]})

    fingerprint: Fingerprint = Field(
        description="One that the connection shows: offered when it was stopped, announced, or proposed."
    )
    proposal_id: UUID | None = Field(
        None,
        strict=False,
        description="Of the proposal that is confirmed; required when it changes more than the fingerprint.",
    )


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


class ScanResult(Answer):
    """The host keys of a server, for a person to compare with what the state announced."""

    ok: bool
    host_keys: list[HostKey]
    failure: Failure | None
