"""Tokens that the instance signs itself are verified once, and are refused from their expiry on."""

import time
from datetime import timedelta

import jwt
import pytest

from app.access import Caller
from app.constants import Role
from app.errors import UnauthorizedError
from app.services import tokens
from app.services.tokens import InstanceTokens, issue_token

KEY = "a key of the tests, which is long enough for it"


def issue(user: str = "ann", seconds: float = 60) -> str:
    return issue_token(KEY, user, Role.VIEWER, "hill", timedelta(seconds=seconds))


def test_who_is_remembered_is_who_was_read() -> None:
    reader = InstanceTokens(KEY)
    first: Caller = reader.read(issue("ann"))
    assert reader.read(issue("bo")).user == "bo"
    assert reader.read(issue("ann")) == first


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, token = InstanceTokens(KEY), issue()
    caller = reader.read(token)
    monkeypatch.delattr(jwt, "decode")
    assert reader.read(token) == caller


def test_a_token_that_is_remembered_expires() -> None:
    reader, token = InstanceTokens(KEY), issue(seconds=2)
    reader.read(token)
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    while time.time() <= expires:
        time.sleep(0.05)
    with pytest.raises(UnauthorizedError, match="expired"):
        reader.read(token)


def test_a_token_of_another_key_is_never_remembered() -> None:
    reader = InstanceTokens(KEY)
    for _ in range(2):
        with pytest.raises(UnauthorizedError):
            reader.read(issue_token(KEY[::-1], "ann", Role.VIEWER, "hill", timedelta(minutes=1)))


def test_a_number_of_tokens_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_VERIFIED", 2)
    reader = InstanceTokens(KEY)
    many = [issue(f"user-{number}") for number in range(4)]
    assert [reader.read(token).user for token in many * 2] == [f"user-{n}" for n in range(4)] * 2
