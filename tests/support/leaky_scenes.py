"""What people, machines and accidents do to a whole service, with secrets in everything that they send."""

import os
import secrets
import signal
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh

from app.demo.world import World, make_world, write_licence_file
from tests.support.canaries import canary
from tests.support.openssh import OpenSshServer
from tests.support.processes import until
from tests.support.watched import SECONDS, Watched

HOST = "LoCaLhOsT"
"""The tests' server under a name that nothing else bears."""
REPORTS = ("report.pdf", "report.json", "skipped.csv", "rejected.csv", "changes.csv")


@dataclass
class Credentials:
    """What opens the state's server, and what does not."""

    server: OpenSshServer
    passphrase: str
    wrong_password: str
    wrong_passphrase: str
    private_key: str
    wrong_pin: str

    @classmethod
    def of(cls, server: OpenSshServer) -> "Credentials":
        passphrase = canary("passphrase")
        key = asyncssh.import_private_key(server.private_key)
        pin = b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        locked = key.export_private_key("openssh", passphrase, rounds=64).decode()
        return cls(server, passphrase, canary("wrong-password"), canary("wrong-passphrase"), locked, pin)

    @property
    def hidden(self) -> dict[str, str]:
        lines = self.private_key.split()
        return {
            "passphrase": self.passphrase,
            "wrong password": self.wrong_password,
            "wrong passphrase": self.wrong_passphrase,
            # The first two say of which kind and cipher it is; those of all keys look alike.
            **{
                f"line {number} of the key": line for number, line in enumerate(lines[6:-4]) if len(line) > 40
            },
        }

    def body(self, directory: Path, **changes: Any) -> dict[str, Any]:
        """A connection that works, but for `changes`."""
        return {
            "host": HOST,
            "port": self.server.port,
            "username": self.server.username,
            "password": self.passphrase,
            "private_key": self.private_key,
            "fingerprint": self.server.fingerprint(),
            "directory": str(directory),
        } | changes


def settle(watched: Watched, world: World) -> str:
    """Add the district's people; return its task."""
    for job_class in world.job_classes:
        watched.call("PUT", f"/job-classes/{job_class['code']}", job_class, 201)
    watched.call("POST", "/employees/bulk", {"items": world.employees})
    task = watched.call("POST", "/tasks", {"description": "Licences", "status": "inactive"}, 201)
    return str(task["id"])


def confuse(watched: Watched, opens: Credentials, directory: Path) -> None:
    """Save secrets in wrong fields, and bodies that are wrong in other ways."""
    good, secret = opens.body(directory), opens.wrong_password
    wrongs: list[dict[str, Any]] = [
        {"host": f"sftp://{secret}@x"},
        {"host": [secret]},
        {"port": secret},
        {"username": secret * 20},
        {"fingerprint": secret},
        {"fingerprint": f"SHA256:{secret}"},
        {"directory": {"secret": secret}},
        {"private_key": secret},
        {"private_key": opens.private_key[:-60]},
        {"private_key": [opens.private_key]},
        {"password": [secret]},
        {"password": secret * 100},
        {"password": opens.wrong_passphrase},
        {"pasword": secret},
    ]
    for wrong in wrongs:
        watched.call("PUT", "/sftp-connection", good | wrong, 422)
    for content in (b'{"password": "' + secret.encode(), secret.encode("utf-16"), b"\xff" + secret.encode()):
        watched.ask("PUT", "/sftp-connection", content=content, headers={"Content-Type": "application/json"})
    watched.call("POST", "/sftp-connection/scan", {"host": f"{secret}@x", "port": 22}, 422)
    watched.ask("GET", "/runs", params={"password": secret})
    watched.ask("GET", "/runs", headers={"Authorization": f"Bearer {secret.encode().hex()}"})
    watched.ask("GET", "/runs", headers={"Authorization": f"Basic {secret.encode().hex()}"})
    watched.ask("PUT", "/sftp-connection", json=good, headers={"If-Match": '"1"'})


def import_once(watched: Watched, task: str) -> Any:
    """Let the task run and read all that is said of it."""
    run = watched.ended_run(watched.call("POST", f"/tasks/{task}/run", status=202)["id"])
    for part in (*REPORTS, "error-log"):
        watched.ask("GET", f"/runs/{run['id']}/{part}")
    watched.ask("GET", "/connection-events")
    watched.ask("GET", "/sftp-connection")
    return run


def go_about(watched: Watched, opens: Credentials, directory: Path) -> dict[str, Any]:
    """Import, fail to log in, meet a wrong server; return the codes that the runs came to."""
    task = settle(watched, world := make_world(seed=5, employees=60, rows=300, today=watched.today))
    write_licence_file(world, directory).chmod(0o644)
    confuse(watched, opens, directory)
    good = opens.body(directory)
    watched.call("PUT", "/sftp-connection", good, 201)
    assert watched.call("POST", "/sftp-connection/test")["ok"]
    assert watched.call("POST", "/sftp-connection/scan", {"host": HOST, "port": opens.server.port})["ok"]
    first = import_once(watched, task)
    assert first["status"] == "succeeded", first["failure"]
    watched.known = str(first["id"])
    failures = {}
    changes: dict[str, dict[str, Any]] = {
        "login": {"password": opens.wrong_password, "private_key": None},
        "fingerprint": {"password": opens.passphrase, "fingerprint": f"SHA256:{opens.wrong_pin}"},
    }
    for name, change in changes.items():
        watched.call("PUT", "/sftp-connection", good | change)
        assert not watched.call("POST", "/sftp-connection/test")["ok"]
        failures[name] = import_once(watched, task)["failure"]["code"]
    watched.call("PUT", "/sftp-connection", good)
    with watched.without_table("employee"):  # a fault that nobody expects, in the worker
        failures["table"] = import_once(watched, task)["failure"]["code"]
    with watched.without_table("sftp_connection"):  # and in the API, with the secrets at hand
        watched.call("PUT", "/sftp-connection", good, 500)
        watched.call("POST", "/sftp-connection/test", status=500)
    return failures


def strike(watched: Watched, opens: Credentials, directory: Path) -> None:
    """Crash the worker and the API with secrets in their memory, and go on."""
    for name in ("worker", "serve"):
        watched.call("PUT", "/sftp-connection", opens.body(directory))
        watched.ask("POST", "/sftp-connection/test")
        victim = watched.pid(name)
        os.kill(victim, signal.SIGABRT)
        until(partial(watched.replaced, name, victim), SECONDS, what=f"{name} is started again")
        watched.until_ready()
    with suppress(ProcessLookupError):
        os.kill(watched.pid("worker"), signal.SIGKILL)
