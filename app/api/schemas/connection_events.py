"""Bodies of the security events of the connection."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import AliasPath, Field

from app.api.schemas.base import Answer
from app.api.schemas.sftp_connection import HostKey
from app.constants import ConnectionPhase


def _detail(name: str, text: str, example: Any = None) -> Any:
    return Field(
        None,
        validation_alias=AliasPath("details", name),
        description=text,
        examples=[] if example is None else [example],
    )


class EventOut(Answer):
    """One attempt to use the connection, or one change of it."""

    id: UUID
    at: datetime
    action: str = Field(
        description="`run`, `test` or `scan`: an attempt. `saved`, `change_proposed`, `change_confirmed`, "
        "`change_rejected`, `host_key_accepted`: what a person did. `announced_key_seen`: the server showed "
        "the announced host key for the first time.",
        examples=["run"],
    )
    by: str | None = Field(description="Who did it; of a run, who started or scheduled it.")
    host: str
    port: int
    username: str
    phase: ConnectionPhase = Field(description="How far it came; of a change, always `host_key`.")
    outcome: Literal["success", "failure"]
    failure_code: str | None
    message: str = Field(description="For people; empty on success.")
    milliseconds: int | None
    bytes: int | None = Field(description="Received of the licence file.")
    run_id: UUID | None = Field(description="Null for what no run did.")
    request_id: str | None
    address: str | None = _detail("address", "The address that the host name led to.", "192.0.2.7")
    expected_fingerprint: str | None = _detail("expected_fingerprint", "The pin at that time.")
    announced_fingerprint: str | None = _detail("announced_fingerprint", "The second pin at that time.")
    offered: list[HostKey] | None = _detail("offered", "Host keys that the server showed.")
    host_key_in_use: str | None = _detail("host_key_in_use", "Which pin the host key had.", "current")
    server_version: str | None = _detail("server_version", "What the server calls itself.", "SSH-2.0-OpenSSH")
    cipher: str | None = _detail("recv_cipher", "Of what was received.", "aes128-gcm@openssh.com")
    exception: str | None = _detail("exception", "The kind of error.", "PermissionDenied")
    error: str | None = _detail("error", "Its text, the user id masked.")
    fingerprint: str | None = _detail("fingerprint", "Of a change: the pin that was saved or proposed.")
    previous_fingerprint: str | None = _detail("previous_fingerprint", "Of a change: the pin before it.")
    proposed_by: str | None = _detail("proposed_by", "Of a rejection: who had proposed the change.")
