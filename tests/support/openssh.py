"""A real OpenSSH server of the tests' own, from this machine's sshd."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.processes import until

SECONDS = 20
KEY_TYPES = ("ed25519", "ecdsa", "rsa")
PRIVILEGE_SEPARATION = Path("/run/sshd")

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
PidFile {directory}/sshd.pid
AuthorizedKeysFile {directory}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication {passwords}
KbdInteractiveAuthentication no
LogLevel DEBUG1
LoginGraceTime 20
Subsystem sftp internal-sftp
"""
NEWER = "PerSourcePenalties no"
"""From OpenSSH 9.8 on, a server locks out an address that fails to log in as often as the tests do."""

# Waits for the end of its input, which comes when the tests close it or die, however they die.
CLEAN_UP = 'cat >/dev/null; kill $(cat "$1/sshd.pid"); test -z "$2" || userdel -f "$2"; rm -rf "$1"'

PASSWORDS_LEFT_OUT = (
    "left out: sshd checks passwords only as root, so an ordinary user's tests log in by key. "
    "To run the password tests as well, run them as root."
)


class OpenSshServer:
    """sshd on a free port of 127.0.0.1, with three host keys; `files` is what `directory` serves.

    As root it makes a throw-away system user with a password; as an ordinary user, `password` is None and
    the key logs in as oneself. `more_config` are further lines of its configuration. It ends with `stop()`,
    and by itself when this process dies.
    """

    def __init__(self, *more_config: str) -> None:
        self._sshd = find_sshd()
        self._more_config = more_config
        # Not pytest's directory: the server's user has to reach it.
        self.root = Path(tempfile.mkdtemp(prefix="certsync-sshd-", dir="/tmp"))
        self.root.chmod(0o755)
        self.files = self.root / "files"
        self.files.mkdir(mode=0o755)
        self.host = "127.0.0.1"
        self.port = free_port()
        self.username = getpass.getuser()
        self.password: str | None = None
        as_root = os.geteuid() == 0
        if as_root:
            self.username, self.password = f"certsync-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        self._watcher = subprocess.Popen(
            ["sh", "-c", CLEAN_UP, "sh", self.root, self.username if as_root else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the tests, which stop it in their own time
        )
        try:
            if self.password is not None:
                self._add_user(self.password)
            self._write_config()
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def directory(self) -> str:
        """The absolute directory on the server, for the connection."""
        return str(self.files)

    def new_directory(self, mode: int = 0o755) -> Path:
        """An empty directory of a test's own below `files`."""
        path = self.files / secrets.token_hex(8)
        path.mkdir(mode)
        return path

    @property
    def private_key(self) -> str:
        """The text of the user's authorised key."""
        return (self.root / "user_key").read_text()

    def fingerprint(self, key_type: str = "ed25519") -> str:
        """`SHA256:…` of the host key of that type, as OpenSSH itself prints it."""
        return _run("ssh-keygen", "-lf", self.root / f"host_{key_type}.pub").split()[1]

    def log(self) -> str:
        """All that sshd has logged."""
        return (self.root / "sshd.log").read_text(errors="replace")

    def stop_sshd(self) -> None:
        """End the listener; open sessions go on, as with any sshd."""
        self._process.terminate()
        self._process.wait(SECONDS)

    def restart(self) -> None:
        """End the listener if it runs, and start it again on the same port."""
        self.stop_sshd()
        self._start()

    def stop(self) -> None:
        """End it and remove its user and its files."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait(SECONDS)
        if hasattr(self, "_process"):
            self._process.wait(SECONDS)

    def _add_user(self, password: str) -> None:
        def added() -> bool:  # another process may hold the lock of /etc/passwd
            command = ("useradd", "--system", "--home-dir", self.root, "--shell", "/bin/sh", self.username)
            return subprocess.run(command, capture_output=True, check=False).returncode in {0, 9}

        until(added, what="useradd gets the lock of /etc/passwd")
        subprocess.run(["chpasswd"], input=f"{self.username}:{password}", text=True, check=True)
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)

    def _write_config(self) -> None:
        lines = [
            CONFIG.format(
                port=self.port, directory=self.root, passwords="yes" if self.password is not None else "no"
            )
        ]
        for key_type in KEY_TYPES:
            _run("ssh-keygen", "-q", "-N", "", "-t", key_type, "-f", self.root / f"host_{key_type}")
            lines.append(f"HostKey {self.root}/host_{key_type}")
        lines += self._more_config
        _run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", self.root / "user_key")
        shutil.copy(self.root / "user_key.pub", self.root / "authorized_keys")
        for text in ("\n".join([*lines, NEWER]), "\n".join(lines)):
            self._config.write_text(text + "\n")
            check = subprocess.run([self._sshd, "-t", "-f", self._config], capture_output=True, check=False)
            if check.returncode == 0:
                return
        raise RuntimeError(f"sshd refuses its configuration: {check.stderr.decode()}")

    @property
    def _config(self) -> Path:
        return self.root / "sshd_config"

    def _start(self) -> None:
        log = self.root / "sshd.log"
        self._process = subprocess.Popen(
            [self._sshd, "-D", "-f", self._config, "-E", log], cwd="/", start_new_session=True
        )
        until(self._answers, what="sshd answers")

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"sshd ended at once: {self.log()}")
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
        return False


def find_sshd() -> str:
    """Return sshd's absolute path, which it wants to be started by."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError(
            "no OpenSSH server (sshd) on PATH or in /usr/sbin; run `make test`, which installs one"
        )
    return found


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: str | Path) -> str:
    return subprocess.run(
        command, capture_output=True, check=True, text=True, stdin=subprocess.DEVNULL
    ).stdout


@pytest.fixture(scope="session")
def openssh_server() -> Iterator[OpenSshServer]:
    """One sshd for the whole session, started by the first test that wants it."""
    server = OpenSshServer()
    yield server
    server.stop()


@pytest.fixture
def openssh_password(openssh_server: OpenSshServer) -> str:
    """The password of the server's user; leaves the test out, with the reason, where there can be none."""
    if openssh_server.password is None:
        pytest.skip(PASSWORDS_LEFT_OUT)
    return openssh_server.password
