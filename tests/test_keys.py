import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pipeline.keys import SEPARATOR, clean, educator_key, name_key, name_part

ANY = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1234567", "1234567"),
        (" 0001234567\t", "1234567"),
        ("\uff11\uff12", "12"),  # full-width digits
        ("VT 00\u00a0 12", "VT 00 12"),
        ("000", None),
        ("0", None),
        ("  ", None),
        ("", None),
        (None, None),
    ],
)
def test_educator_key(text: str | None, key: str | None) -> None:
    assert educator_key(text) == key


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("  De  La\u00a0Cruz ", "de la cruz"),
        ("Zoe\u0308", "ZO\u00cb"),
        ("Stra\u00dfe", "STRASSE"),
        ("\ufb01nn", "FINN"),  # a ligature
        ("\u00c5sa", "\u212bsa"),  # the letter and the unit
    ],
)
def test_names_that_agree(left: str, right: str) -> None:
    assert name_part(left) == name_part(right) != ""


@pytest.mark.parametrize(
    ("left", "right"),
    [("O'Brien", "OBrien"), ("O'Brien", "O\u2019Brien"), ("Zoe", "Zo\u00eb"), ("Lee-Ray", "Lee Ray")],
)
def test_nothing_else_is_forgiven(left: str, right: str) -> None:
    assert name_part(left) != name_part(right)


def test_a_blank_name_has_no_key() -> None:
    assert name_key("Smith", "Ann") == f"smith{SEPARATOR}ann"
    assert name_key("Smith", " ") is None
    assert name_key(None, "Ann") is None


def test_two_names_cannot_be_split_in_two_ways() -> None:
    assert name_key(f"a{SEPARATOR}b", "c") != name_key("a", f"b{SEPARATOR}c")


@given(ANY)
def test_keys_are_idempotent(text: str) -> None:
    part = name_part(text)
    assert name_part(part) == part == unicodedata.normalize("NFKC", part)
    assert clean(clean(text)) == clean(text)
    key = educator_key(text)
    assert key is None or educator_key(key) == key


@given(ANY)
def test_case_and_outer_space_never_count(text: str) -> None:
    assert name_part(f" {text}\n") == name_part(text)
    assert name_part(text.casefold()) == name_part(text)
