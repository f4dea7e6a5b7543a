"""Outdated algorithms are not spoken, but for those that an operator allows by name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.constants import ConnectionPhase
from app.errors import ConfigurationError
from app.factory import Factory
from app.failures import SftpUnreachable
from app.pipeline.attempts import sftp_limits
from app.settings import Settings
from app.storage.sftp import open_sftp
from app.storage.ssh_algorithms import LEGACY, LEGACY_NAMES, algorithms
from tests.support.openssh import OpenSshServer
from tests.support.processes import ROOT
from tests.support.sftp import LIMITS, key_target

OLD = {
    "ssh-rsa": "HostKeyAlgorithms ssh-rsa",
    "diffie-hellman-group14-sha1": "KexAlgorithms diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1": "KexAlgorithms diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group1-sha1": "KexAlgorithms diffie-hellman-group1-sha1",
    "aes256-cbc": "Ciphers aes256-cbc",
    "3des-cbc": "Ciphers 3des-cbc",
    "hmac-sha1": "MACs hmac-sha1",
}
"""What an old server would offer alone, of each kind."""


@pytest.fixture(params=OLD)
def old_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, OpenSshServer]]:
    """A server that knows one outdated algorithm of its kind, and no other."""
    more = ["Ciphers aes128-ctr"] if request.param == "hmac-sha1" else []  # GCM would need no MAC
    server = OpenSshServer(OLD[request.param], *more)
    yield request.param, server
    server.stop()


# The cryptography library means to drop Diffie-Hellman over finite fields, which these servers speak alone.
@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
async def test_an_outdated_server_is_reached_only_when_its_algorithm_is_allowed(
    old_server: tuple[str, OpenSshServer],
) -> None:
    name, server = old_server
    target = key_target(server, fingerprint=server.fingerprint("rsa" if name == "ssh-rsa" else "ed25519"))
    others = frozenset(LEGACY_NAMES) - {name}
    for limits in (LIMITS, replace(LIMITS, legacy=others)):
        with pytest.raises(SftpUnreachable) as refused:
            async with open_sftp(target, limits):
                pass
        assert "outdated" in refused.value.message
        assert "userauth" not in server.log()
    async with open_sftp(target, replace(LIMITS, legacy=frozenset({name}))) as session:
        assert session.phase is ConnectionPhase.LIST


async def test_a_current_server_is_spoken_to_as_ever(openssh_server: OpenSshServer) -> None:
    """What is allowed besides comes last, so that it is never preferred."""
    everything = algorithms(frozenset(LEGACY_NAMES))
    current = algorithms()
    for kind, mine in (
        ("key exchange", (current.key_exchanges, everything.key_exchanges)),
        ("ciphers", (current.ciphers, everything.ciphers)),
        ("MACs", (current.macs, everything.macs)),
        ("host keys", (current.host_keys["ssh-rsa"], everything.host_keys["ssh-rsa"])),
    ):
        assert mine[1] == mine[0] + LEGACY[kind], "the installed library has them all"
        assert not set(LEGACY_NAMES) & set(mine[0])
    limits = replace(LIMITS, legacy=frozenset(LEGACY_NAMES))
    target = key_target(openssh_server, fingerprint=openssh_server.fingerprint("rsa"))
    before = len(openssh_server.log())
    async with open_sftp(target, limits):
        pass
    spoken = openssh_server.log()[before:]
    assert "kex: algorithm:" in spoken
    assert not [name for name in LEGACY_NAMES if f": {name} " in spoken.replace("\n", " ")]


def test_only_known_names_can_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CERTSYNC_SFTP_LEGACY_ALGORITHMS: none, ssh-dss cannot"):
        sftp_limits(Settings(data_dir=tmp_path, sftp_legacy_algorithms=["ssh-dss", "ssh-rsa", "none"]))


async def test_a_start_warns(settings: Settings) -> None:
    changed: Any = settings.model_copy(update={"sftp_legacy_algorithms": ["ssh-rsa"]})
    with structlog.testing.capture_logs() as logs:
        await Factory(changed).close()
    assert {"event": "legacy_algorithms_allowed", "algorithms": ["ssh-rsa"], "log_level": "warning"} in logs
    with structlog.testing.capture_logs() as logs:
        await Factory(settings).close()
    assert "legacy_algorithms_allowed" not in str(logs)


def test_all_of_them_are_documented() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert [name for name in LEGACY_NAMES if f"`{name}`" not in text] == []
