"""Nothing of the account that the service runs under takes part in a connection."""

import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from app.constants import ConnectionPhase
from app.failures import SftpAuthFailed, SftpFingerprintMismatch
from app.storage.sftp import open_sftp
from tests.support.openssh import OpenSshServer
from tests.support.sftp import LIMITS, key_target


@pytest.fixture
def home(openssh_server: OpenSshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose settings would all lead into the server, by way of a command that leaves a trace."""
    ssh = tmp_path / ".ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "config").write_text(f"Host *\n  ProxyCommand sh -c 'touch {tmp_path}/ran; nc %h %p'\n")
    (ssh / "id_ed25519").write_text(openssh_server.private_key)
    (ssh / "id_ed25519").chmod(0o600)
    host_key = (openssh_server.root / "host_ed25519.pub").read_text()
    (ssh / "known_hosts").write_text(f"[127.0.0.1]:{openssh_server.port} {host_key}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Stands where a key agent would."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/agent")
        listener.listen()
        listener.setblocking(False)
        monkeypatch.setenv("SSH_AUTH_SOCK", f"{directory}/agent")
        yield listener


@pytest.mark.parametrize("credential", ["wrong password", "wrong key", "none"])
async def test_keys_config_and_agent_of_the_account_are_not_used(
    openssh_server: OpenSshServer, home: Path, agent: socket.socket, credential: str
) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    target = key_target(
        openssh_server,
        password=SecretStr("wrong") if credential == "wrong password" else None,
        private_key=SecretStr(stranger) if credential == "wrong key" else None,
    )
    with pytest.raises(SftpAuthFailed):
        async with open_sftp(target, LIMITS):
            pass
    assert not (home / "ran").exists()
    with pytest.raises(BlockingIOError):
        agent.accept()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("pin", ["", "SHA256:", "SHA256:" + "A" * 43, "é"])
async def test_known_hosts_of_the_account_does_not_replace_the_pin(
    openssh_server: OpenSshServer, pin: str
) -> None:
    with pytest.raises(SftpFingerprintMismatch):
        async with open_sftp(key_target(openssh_server, fingerprint=pin), LIMITS):
            pass


@pytest.mark.usefixtures("home", "agent")
async def test_the_right_key_still_works(openssh_server: OpenSshServer) -> None:
    async with open_sftp(key_target(openssh_server), LIMITS) as session:
        assert session.phase is ConnectionPhase.LIST


WATCHED = {"open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen"}


class Watch:
    """What this interpreter does while a test looks: (event, its first argument or address)."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[tuple[str, str]] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, args: tuple[object, ...]) -> None:
        if self.on and event in WATCHED:
            self.seen.append((event, str(args[1] if event == "socket.connect" else args[0])))


@pytest.fixture(scope="module")
def watching() -> Watch:
    """One for all tests: such a hook cannot be taken out again."""
    return Watch()


@pytest.fixture
def watch(watching: Watch) -> Iterator[Watch]:
    """A watch that a test turns on; it sleeps afterwards."""
    watching.seen = []
    yield watching
    watching.on = False


@pytest.mark.parametrize("credential", ["key", "password", "none"])
async def test_no_file_of_ssh_is_opened_and_nothing_else_connected_to(
    openssh_server: OpenSshServer,
    home: Path,
    agent: socket.socket,
    credential: str,
    watch: Watch,
) -> None:
    assert agent
    target = key_target(
        openssh_server,
        password=SecretStr("wrong") if credential == "password" else None,
        private_key=SecretStr(openssh_server.private_key) if credential == "key" else None,
    )
    watch.on = True
    try:
        async with open_sftp(target, LIMITS):
            assert credential == "key"
    except SftpAuthFailed:
        assert credential != "key"
    watch.on = False
    seen = watch.seen
    server = str((openssh_server.host, openssh_server.port))
    assert {args for event, args in seen if event == "socket.connect"} == {server}
    assert [args for event, args in seen if event == "subprocess.Popen"] == []
    touched = [args for event, args in seen if event in {"open", "os.listdir", "os.scandir"}]
    assert [path for path in touched if ".ssh" in path or "/etc/ssh" in path or str(home) in path] == []


def test_the_watch_would_see_it(watch: Watch, home: Path) -> None:
    watch.on = True
    (home / ".ssh" / "config").read_text()
    assert ("open", str(home / ".ssh" / "config")) in watch.seen
