"""Values made to break a parser, a driver or an answer, in every place of every call: never a 500."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from app.main import create_app
from app.settings import Settings
from tests.support.api import Api, problem

DEEP = 100_000
ID = str(UUID(int=1))
DOCUMENT = create_app(Settings()).openapi()
METHODS = ("get", "put", "post", "patch", "delete")
JSON = {"Content-Type": "application/json"}

WHOLE = {
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "unfinished": b"[" * DEEP,
    "below the limit of recursion": b"[" * 500 + b"]" * 500,
    "UTF-16": '{"description": "x"}'.encode("utf-16"),
    "UTF-16 without mark": '{"description": "x"}'.encode("utf-16-le"),
    "UTF-32": '{"description": "x"}'.encode("utf-32"),
    "mark": b"\xef\xbb\xbf{}",
    "Latin-1": '{"description": "é"}'.encode("latin-1"),
    "overlong": b'{"description": "\xc0\xae"}',
    "encoded surrogate": b'{"description": "\xed\xa0\x80"}',
    "surrogate as a name": b'{"\\ud800": 1}',
    "name twice": b'{"a": 1, "a": 1}',
    "name twice inside": b'{"a": [{"b": {}, "b": {}}]}',
    "number": b"1",
    "huge number": b"9" * 5000,
    "text": b'"x"',
    "two": b"{}{}",
    "nothing": b" ",
    "control character": b'{"a": "\x01"}',
}
VALUES = {
    "deep": "[" * DEEP + "]" * DEEP,
    "array": "[]",
    "object": '{"a": {"b": []}}',
    "infinite": "1e400",
    "minus infinite": "-1e400",
    "digits": "1" * 5000,
    "more digits": "1" * 100_000,
    "many digits": "1" * 4000,
    "beyond 64 bits": str(2**64),
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "minus nought": "-0",
    "half a character": '"\\ud800"',
    "two halves": '"\\udc00\\ud800"',
    "NUL": '"a\\u0000b"',
    "long": '"' + "x" * 200_000 + '"',
}
QUERY = (
    "-0",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "NaN",
    "%00",
    "a%00b",
    "%ed%a0%80",
    "%ff",
    "%c0%ae",
    "%zz",
    "",
    "[]",
    "null",
)


def operations(*, body: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in methods and (not body or "requestBody" in methods[method]):
                yield method.upper(), path, methods[method]


def filled(path: str, value: str = ID) -> str:
    """Return the path below the base path, with a value in place of each parameter."""
    parts = [value if part.startswith("{") else part for part in path.removeprefix("/api/v1").split("/")]
    return "/".join(parts)


def fields(operation: dict[str, Any]) -> set[str]:
    """Return the names of the fields of a body."""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    parts = [schema, *schema.get("anyOf", ())]
    names = [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]
    return {field for name in names for field in DOCUMENT["components"]["schemas"][name]["properties"]}


def refused(response: Any, what: str) -> None:
    assert 400 <= response.status_code < 500, (what, response.status_code, response.text[:200])
    assert response.headers["content-type"] == "application/problem+json", what
    assert len(response.content) < 20_000, what


BODIES = [(method, path, operation) for method, path, operation in operations(body=True)]
NAMES = [f"{method} {path}" for method, path, _ in BODIES]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("method", "path", "operation"), BODIES, ids=NAMES)
async def test_no_body_breaks_a_call(api: Api, method: str, path: str, operation: dict[str, Any]) -> None:
    for what, content in WHOLE.items():
        if what == "nothing" and not operation["requestBody"].get("required"):
            continue
        response = await api.call(method, filled(path), headers=JSON, content=content)
        refused(response, what)
        assert what != "deep arrays" or "nested" in response.json()["detail"]
    names = fields(operation)
    assert names
    for name in names:
        for what, value in VALUES.items():
            if (name, what) == ("items", "array"):
                continue  # nobody to be written, which is allowed
            body = f'{{"{name}": {value}}}'.encode()
            refused(await api.call(method, filled(path), headers=JSON, content=body), f"{name}: {what}")
        twice = f'{{"{name}": 1, "{name}": 1}}'.encode()
        problem(await api.call(method, filled(path), headers=JSON, content=twice), 400, "bad-request")


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_no_value_in_an_address_breaks_a_call(api: Api) -> None:
    for method, path, operation in operations(body=False):
        if "{" in path:
            for value in QUERY:
                response = await api.call(method, filled(path, value), headers=JSON, content=b"{}")
                assert response.status_code < 500, (method, path, value, response.text)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] != "query":
                continue
            for value in QUERY:
                response = await api.call(method, f"{filled(path)}?{parameter['name']}={value}")
                assert response.status_code < 500, (path, parameter["name"], value, response.text)


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/job-classes/1"), ("POST", "/tasks"), ("GET", "/tasks")]
)
async def test_no_header_breaks_a_call(api: Api, method: str, path: str) -> None:
    values = ("-0", "9" * 5000, '"', 'W/"1"', '"1' * 1000, "\xff", "a,b", "*", "1.2.3", "{" * 5000, "", "x y")
    token = {"Authorization": f"Bearer {api.token()}"}
    for name in ("If-Match", "Idempotency-Key", "Last-Event-ID", "X-Request-ID", "Authorization", "Accept"):
        for value in values:
            pairs = (token | JSON | {name: value}).items()
            headers = [(each.encode(), text.encode("latin-1")) for each, text in pairs]
            response = await api.client.request(method, f"/api/v1{path}", headers=headers, content=b"{}")
            assert response.status_code < 500, (name, value, response.text)
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", response.headers["x-request-id"])


async def test_a_whole_character_may_be_written_as_two_halves(api: Api) -> None:
    body = b'{"description": "\\ud83d\\ude00", "status": "inactive"}'
    response = await api.call("POST", "/tasks", headers=JSON, content=body)
    assert response.json()["description"] == "\U0001f600"
