"""The state's server: an OpenSSH that serves one licence file, to certsync and to OpenSSH's own client."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from tests.support.openssh import OpenSshServer


class FileServer:
    """A server with one file at a time; a context manager."""

    def __init__(self) -> None:
        self._ssh = OpenSshServer()
        self._stock = self._ssh.root / "stock"
        self._stock.mkdir()
        self._known_hosts = self._ssh.root / "known_hosts"
        key = (self._ssh.root / "host_ed25519.pub").read_text().split()
        self._known_hosts.write_text(f"[{self._ssh.host}]:{self._ssh.port} {key[0]} {key[1]}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ssh.stop()

    @property
    def connection(self) -> dict[str, Any]:
        """What a district's connection to it is made of."""
        return {
            "host": self._ssh.host,
            "port": self._ssh.port,
            "username": self._ssh.username,
            "private_key": SecretStr(self._ssh.private_key),
            "fingerprint": self._ssh.fingerprint(),
            "directory": self._ssh.directory,
        }

    def serve(self, file: Path, name: str) -> None:
        """Serve `file` under `name`, and no other; it is copied once, and linked from then on."""
        stored = self._stock / file.name
        if not stored.exists():
            shutil.copy(file, stored)
            stored.chmod(0o644)
        for old in self._ssh.files.iterdir():
            old.unlink()
        os.link(stored, self._ssh.files / name)

    def get(self, target: Path) -> Path:
        """Fetch the file with OpenSSH's `sftp`; return `target`."""
        (name,) = (path.name for path in self._ssh.files.iterdir())
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": self._ssh.root / "user_key",
            "UserKnownHostsFile": self._known_hosts,
        }
        command = ["sftp", "-q", "-F", "/dev/null", "-P", str(self._ssh.port)]
        command += [part for item in options.items() for part in ("-o", f"{item[0]}={item[1]}")]
        source = f"{self._ssh.username}@{self._ssh.host}:{self._ssh.directory}/{name}"
        subprocess.run([*command, source, str(target)], check=True, stdout=subprocess.DEVNULL)
        return target
