"""Trying a connection out against a real OpenSSH server."""

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.openssh import OpenSshServer, free_port


def connection(server: OpenSshServer, **changes: Any) -> dict[str, Any]:
    return {
        "host": server.host,
        "port": server.port,
        "username": server.username,
        "private_key": server.private_key,
        "fingerprint": server.fingerprint(),
        "directory": server.directory,
        **changes,
    }


async def attempt(api: Api, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Save and try a connection; return the result and the newest event."""
    saved = await api.call("PUT", "/sftp-connection", body)
    assert saved.status_code in (200, 201), saved.text
    tried = await api.call("POST", "/sftp-connection/test")
    assert tried.status_code == 200, tried.text
    events = (await api.get("/connection-events")).json()["items"]
    return tried.json(), events[0]


async def test_recognised_files_are_listed_newest_first(api: Api, openssh_server: OpenSshServer) -> None:
    directory = openssh_server.new_directory()
    for name in ("Curr_Lic_Eds_End_Limits_20261120.csv", "Curr_Lic_Eds_End_Limits_20261122.txt", "notes.txt"):
        (directory / name).write_text("x" * 5)
    result, event = await attempt(api, connection(openssh_server, directory=str(directory)))
    assert result == {
        "ok": True,
        "files": [
            {"name": name, "datestamp": f"{day}T00:00:00", "size": 5}
            for name, day in (
                ("Curr_Lic_Eds_End_Limits_20261122.txt", "2026-11-22"),
                ("Curr_Lic_Eds_End_Limits_20261120.csv", "2026-11-20"),
            )
        ],
        "failure": None,
    }
    assert (event["outcome"], event["phase"], event["failure_code"]) == ("success", "list", None)


@pytest.mark.parametrize(
    ("change", "code", "phase"),
    [
        ({"directory": "/nowhere"}, "sftp_directory_not_found", "list"),
        ({"username": "nobody-here"}, "sftp_auth_failed", "authenticate"),
        ({"fingerprint": "SHA256:" + "A" * 43}, "sftp_fingerprint_mismatch", "host_key"),
    ],
)
async def test_failures_are_told_and_recorded(
    api: Api, openssh_server: OpenSshServer, change: dict[str, str], code: str, phase: str
) -> None:
    result, event = await attempt(api, connection(openssh_server, **change))
    assert (result["ok"], result["files"], result["failure"]["code"]) == (False, [], code)
    assert (event["outcome"], event["failure_code"], event["phase"]) == ("failure", code, phase)
    assert event["message"] == result["failure"]["message"]


async def test_scan_lists_the_fingerprints(api: Api, openssh_server: OpenSshServer) -> None:
    server = {"host": openssh_server.host, "port": openssh_server.port}
    result = (await api.call("POST", "/sftp-connection/scan", server)).json()
    assert result["ok"] is True
    offered = {key["algorithm"]: key["fingerprint"] for key in result["host_keys"]}
    assert offered["ssh-ed25519"] == openssh_server.fingerprint("ed25519")
    assert offered["ssh-rsa"] == openssh_server.fingerprint("rsa")
    nobody = {"host": openssh_server.host, "port": free_port()}
    result = (await api.call("POST", "/sftp-connection/scan", nobody)).json()
    assert (result["ok"], result["host_keys"], result["failure"]["code"]) == (False, [], "sftp_unreachable")
