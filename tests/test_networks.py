"""Addresses that no connection goes to: the operator's own network is not for a district to probe."""

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.pipeline.attempts import sftp_limits
from app.settings import Settings
from app.storage.networks import KEYWORDS, AddressRefusedError, NetworkRules, parse_networks, resolve
from app.storage.sftp import open_sftp
from app.storage.ssh_algorithms import algorithms
from app.storage.ssh_attempt import Attempt, SftpLimits
from tests.support.api import Api, running_api
from tests.support.connections import body, events, run, saved
from tests.support.openssh import OpenSshServer, free_port
from tests.support.sftp import LIMITS, key_target

INNER = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.0.192",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd12::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:a00:0:100::",
    "::ffff:0:10.0.0.1",
    "168.63.129.16",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:0a00:1::1",
    "fe80::1%lo",
]
OUTER = [
    "8.8.8.8",
    "172.32.0.1",
    "192.0.2.7",
    "2001:db8::1",
    "2606:4700::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize("text", INNER)
def test_the_inner_network_is_denied_however_it_is_written(text: str) -> None:
    assert not NetworkRules(parse_networks(["internal"])).permit(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", OUTER)
def test_the_rest_of_the_world_is_not(text: str) -> None:
    assert NetworkRules(parse_networks(["internal"])).permit(ipaddress.ip_address(text))


def test_exceptions_and_networks_of_ones_own() -> None:
    rules = NetworkRules(parse_networks(["internal", "203.0.113.0/24"]), parse_networks(["10.8.0.5"]))
    permitted = {
        text: rules.permit(ipaddress.ip_address(text))
        for text in ("10.8.0.5", "::ffff:10.8.0.5", "10.8.0.6", "203.0.113.9", "203.0.114.9", "127.0.0.1")
    }
    assert [text for text, allowed in permitted.items() if allowed] == [
        "10.8.0.5",
        "::ffff:10.8.0.5",
        "203.0.114.9",
    ]


def test_each_keyword_is_part_of_internal() -> None:
    assert set(parse_networks(["internal"])) == set(parse_networks(list(KEYWORDS)))


@pytest.mark.parametrize(
    ("environment", "given", "denied"),
    [("development", None, False), ("production", None, True), ("production", ["none"], False)],
)
def test_production_denies_the_inner_network_unless_told_otherwise(
    tmp_path: Path, environment: Any, given: list[str] | None, denied: bool
) -> None:
    settings = Settings(data_dir=tmp_path, environment=environment, sftp_denied_networks=given)
    rules = sftp_limits(settings).networks
    assert rules.permit(ipaddress.ip_address("169.254.169.254")) is not denied


def test_lists_are_given_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSYNC_SFTP_DENIED_NETWORKS", "private, 203.0.113.0/24")
    monkeypatch.setenv("CERTSYNC_SFTP_ALLOWED_NETWORKS", "10.8.0.5,10.8.0.6")
    settings = Settings()
    assert settings.denied_networks == ["private", "203.0.113.0/24"]
    assert settings.sftp_allowed_networks == ["10.8.0.5", "10.8.0.6"]


@pytest.mark.parametrize("name", ["DENIED", "ALLOWED"])
def test_what_is_no_network_is_named(tmp_path: Path, name: str) -> None:
    given: Any = {f"sftp_{name.lower()}_networks": ["10.0.0.1/8"]}
    with pytest.raises(
        ConfigurationError, match=f"CERTSYNC_SFTP_{name}_NETWORKS: '10.0.0.1/8' is no network"
    ):
        sftp_limits(Settings(data_dir=tmp_path, **given))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the name `sftp.state.example` leads to, one answer after the other."""
    answers: list[list[str]] = []
    really = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "sftp.state.example":
            return really(host, port, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


async def test_a_name_is_looked_up_once(openssh_server: OpenSshServer, names: list[list[str]]) -> None:
    """A second answer could be another one; with a server of three host keys there are three connections."""
    names += [["127.0.0.1"], ["127.0.0.2"]]
    limits = SftpLimits(5, 10, 30, 1, NetworkRules(parse_networks(["127.0.0.2"])))
    target = key_target(
        openssh_server, host="sftp.state.example", fingerprint=openssh_server.fingerprint("rsa")
    )
    attempt = Attempt(target, algorithms())
    async with open_sftp(target, limits, attempt):
        assert attempt.address == "127.0.0.1"
    assert len(attempt.offered) == 3
    assert names == [["127.0.0.2"]]


async def test_the_next_address_is_tried(openssh_server: OpenSshServer, names: list[list[str]]) -> None:
    names += [["127.0.0.9", "127.0.0.1"]]  # the server listens on one of them
    target = key_target(openssh_server, host="sftp.state.example")
    async with open_sftp(target, LIMITS):
        pass


async def test_one_denied_address_of_a_name_is_enough(names: list[list[str]]) -> None:
    names += [["192.0.2.7", "10.0.0.1"]]
    with pytest.raises(AddressRefusedError):
        await resolve("sftp.state.example", 22, NetworkRules(parse_networks(["internal"])))


@pytest.fixture
async def walled(settings: Settings) -> AsyncIterator[Api]:
    """The application as in production, as far as addresses go."""
    async with running_api(settings.model_copy(update={"sftp_denied_networks": ["internal"]})) as api:
        yield api


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Something of the inner network."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


FORMS = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "::ffff:127.0.0.1", "::")


@pytest.mark.parametrize("host", FORMS)
async def test_scans_tests_and_runs_go_to_no_denied_address(
    walled: Api, openssh_server: OpenSshServer, listener: socket.socket, host: str
) -> None:
    port = listener.getsockname()[1]
    await saved(walled, body(openssh_server, host=host, port=port))
    scanned = (await walled.call("POST", "/sftp-connection/scan", {"host": host, "port": port})).json()
    tested = (await walled.call("POST", "/sftp-connection/test")).json()
    ran = await run(walled)
    assert scanned["failure"] == tested["failure"]
    assert scanned["failure"]["code"] == ran.failure_code == "sftp_unreachable"
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert [event["action"] for event in await events(walled, outcome="failure")] == ["run", "test", "scan"]


async def test_the_answer_does_not_tell_what_is_there(walled: Api, listener: socket.socket) -> None:
    """Neither a port that is open from one that is not, nor a name that exists in the inner network."""
    hosts = [
        ("127.0.0.1", listener.getsockname()[1]),
        ("127.0.0.1", free_port()),
        ("10.255.255.1", 22),
        ("no-such-host.invalid", 22),
        ("two..dots", 22),
    ]
    answers = [
        (await walled.call("POST", "/sftp-connection/scan", {"host": host, "port": port})).json()
        for host, port in hosts
    ]
    assert [answer for answer in answers if answer != answers[0]] == []
    told = await events(walled, action="scan")
    assert len(told) == len(hosts)
    for event in told:
        for name in ("id", "at", "host", "port", "milliseconds", "request_id"):
            del event[name]
    assert [event for event in told if event != told[0]] == []


async def test_without_a_list_everything_is_told(api: Api) -> None:
    scan = {"host": "no-such-host.invalid", "port": 22}
    answer = (await api.call("POST", "/sftp-connection/scan", scan)).json()
    assert "host name" in answer["failure"]["message"]
    assert "spelling" in answer["failure"]["message"]
