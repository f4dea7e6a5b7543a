"""Whatever comes over a wire, made up by a machine: read as it was written, or refused as is documented."""

import ipaddress
import json
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from app.api.json_body import read_json
from app.api.problems import BodyRefusedError
from app.api.schemas.sftp_connection import check_fingerprint, check_host
from app.cli.common import harmless
from app.cli.http_head import SINGLE, check_head, raw_answer
from app.errors import BadRequestError, ValidationFailedError
from app.services.run_events import Place
from app.storage import connection_events, import_files, runs, service_tokens, tasks
from app.storage.networks import NetworkRules, parse_networks
from app.storage.pages import BIGGEST_KEY, _decode, _encode, _kind, _places
from app.syslog import LONGEST, line
from tests.support.fuzzing import ANY, ODD, same

WHOLE = st.text(st.characters(codec="utf-8"))
PLACES = [
    _places(module.LISTING, name)
    for module in (connection_events, import_files, runs, service_tokens, tasks)
    for name in module.LISTING.sortable
]
VALUES: dict[type, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    int: st.integers(1 - BIGGEST_KEY, BIGGEST_KEY - 1),
    bool: st.booleans(),
    UUID: st.uuids(),
    date: st.dates(),
    time: st.times(),
    datetime: st.datetimes(timezones=st.just(UTC)),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WHOLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WHOLE, inner, max_size=4),
    max_leaves=12,
)


@same
@given(st.data())
def test_a_cursor_is_read_as_it_was_written(data: st.DataObject) -> None:
    places = data.draw(st.sampled_from(PLACES))
    values = [data.draw(VALUES[_kind(place)]) for place in places]
    assert _decode("this", places, _encode("this", values)) == values


@same
@given(
    places=st.sampled_from(PLACES),
    cursor=ANY | st.lists(JSON, max_size=5).map(lambda values: _encode("this", values)),
)
@example(PLACES[0], _encode("this", ["9" * 5000]))
@example(PLACES[0], "W1tb" * 30_000)  # [[[
def test_any_other_cursor_is_refused(places: list[Any], cursor: str) -> None:
    try:
        last = _decode("this", places, cursor)
    except ValidationFailedError as refusal:
        assert refusal.errors[0].loc == ("query", "cursor")  # noqa: PT017 - it need not be raised
    else:
        assert len(last) == len(places)


@same
@given(JSON)
def test_a_body_is_read_as_it_was_written(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@same
@given(st.binary() | WHOLE.map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()[:-1]))
@example(b"9" * 5000)
@example(b"[" * 100_000)
@example(b"1e999")
@example(b'{"a":1,"a":2}')
@example(b"[NaN]")
def test_a_body_means_one_thing_or_nothing(body: bytes) -> None:
    try:
        found = read_json(body)
    except (BodyRefusedError, json.JSONDecodeError, UnicodeDecodeError):
        return
    assert json.loads(body) == found
    json.dumps(found, allow_nan=False)


NAMES = st.sampled_from([*SINGLE, b"x", b"expect", b"upgrade", b"connection"])
HEADERS = st.lists(
    st.tuples(NAMES, st.binary(max_size=9) | st.sampled_from([b"chunked", b"Chunked", b"0", b"identity"])),
    max_size=8,
)


@same
@given(HEADERS, st.sampled_from(["1.0", "1.1", "0.9", "2.0", "1.10", ""]), st.booleans())
def test_a_head_can_be_read_in_one_way_only(
    headers: list[tuple[bytes, bytes]], version: str, upgrade: bool
) -> None:
    names = [name for name, _ in headers]
    if check_head(headers, version, upgrade=upgrade):
        return
    assert all(names.count(name) <= 1 for name in SINGLE)
    assert not {b"content-length", b"transfer-encoding"} <= set(names)
    assert b"host" in names or version == "1.0"
    assert not (upgrade and {b"content-length", b"transfer-encoding"} & set(names))
    assert dict(headers).get(b"transfer-encoding", b"chunked").lower() in (b"chunked", b"")


class Answer:
    """What a client understands of an answer."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = False
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended = True


@same
@given(WHOLE)
def test_an_answer_without_the_application_is_one_answer(detail: str) -> None:
    found = Answer(raw_answer(BadRequestError(detail), [(b"x-frame-options", b"DENY")]))
    assert found.ended
    assert found.parser.get_status_code() == 400
    assert json.loads(found.body)["detail"] == detail
    assert (b"x-frame-options", b"DENY") in found.headers


@same
@given(st.lists(ANY | st.sampled_from(["internal", "::/0", "10.0.0.0/8", "10.0.0.1/8", "1", ""]), max_size=3))
def test_networks_are_read_or_refused(texts: list[str]) -> None:
    try:
        found = parse_networks(texts)
    except ValueError:
        return
    assert parse_networks(map(str, found)) == found


@same
@given(
    address=st.ip_addresses(v=4),
    bits=st.integers(0, 32),
    low=st.integers(0, 2**16 - 1),
)
def test_no_way_to_write_an_address_gets_around_a_network(
    address: ipaddress.IPv4Address, bits: int, low: int
) -> None:
    rules = NetworkRules(denied=(ipaddress.ip_network((int(address), bits), strict=False),))
    number = int(address)
    assert not rules.permit(address)
    teredo = (0x20010000 << 96) | (low << 32) | (number ^ 0xFFFFFFFF)
    sixtofour = (0x2002 << 112) | (number << 80) | low
    for written in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, teredo, sixtofour):
        assert not rules.permit(ipaddress.IPv6Address(written))
        assert not rules.permit(ipaddress.IPv6Address(f"{ipaddress.IPv6Address(written)}%eth0"))


RECORDS = st.fixed_dictionaries(
    {
        "at": st.just("2026-11-22T07:30:00.000Z"),
        "action": st.just("run"),
        "outcome": st.sampled_from(["success", "failure"]),
        "process": st.sampled_from(["host/1", "", None]),
    },
    optional={
        **{name: WHOLE | st.text('\0\x1b\n\u202e\x9b\\"') for name in ("by", "host", "username", "message")},
        **{name: st.integers(0, 500).map("\U0001f600".__mul__) for name in ("error", "banner")},
        "offered": st.lists(st.just("x" * 64), max_size=300),
        "milliseconds": st.none() | st.integers(),
    },
)


@same
@given(RECORDS)
def test_an_event_is_one_line_that_a_server_takes(record: dict[str, Any]) -> None:
    text = line(record)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= LONGEST
    _, _, message = text.partition(" - {")
    told = json.loads("{" + message)
    shortened = told.pop("shortened", False)
    assert shortened or told == record
    kept = {name for name, value in record.items() if not isinstance(value, list)}
    assert kept <= told.keys()
    assert all(str(record[name]).startswith(str(told[name])) for name in kept)


def test_the_head_of_an_event_counts_as_well() -> None:
    record = {"at": "2026-11-22T07:30:00.000Z", "action": "run", "outcome": "failure", "process": "h/1"}
    for length in range(LONGEST - 300, LONGEST):
        assert len(line({**record, "message": "x" * length})) <= LONGEST


@same
@given(ANY | st.from_regex(r"[0-9]{1,4}\.[0-9]\.[0-9]{1,3}(\.end)?", fullmatch=True))
def test_a_place_in_a_stream_is_read_back_or_none(text: str) -> None:
    found = Place.read(text)
    assert found is None or Place.read(str(found)) == found


@same
@given(ANY | st.text(ODD))
def test_a_terminal_is_not_steered(text: str) -> None:
    told = harmless(text)
    assert told.replace("\n", "").isprintable()
    assert harmless(told) == told
    assert told.count("\n") == text.count("\n")


@same
@given(ANY)
def test_a_host_is_a_name_and_nothing_else(text: str) -> None:
    try:
        assert check_host(text) == text
    except ValueError:
        return
    assert not set("/@\\ \t\r\n") & set(text)


@same
@given(ANY | st.binary(min_size=32, max_size=32).map(lambda digest: "SHA256:" + digest.hex()))
def test_a_fingerprint_has_one_form(text: str) -> None:
    try:
        found = check_fingerprint(text)
    except ValueError:
        return
    assert check_fingerprint(found) == found
