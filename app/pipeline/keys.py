"""What is compared when a licence row is matched to an employee (I3): one spelling for both sides.

Employees and file rows go through the same functions, so a match in SQL is plain equality.
"""

import unicodedata

SEPARATOR = "\x1f"
"""Stands between the two names of a key; it counts as white space, so no name can hold it."""


def clean(text: str | None) -> str:
    """Return `text` trimmed, with every run of white space made one space; "" for None.

    Everything else is kept. NUL, which PostgreSQL cannot store, is kept too: whoever takes text in has to
    refuse it (the parser rejects such a row).
    """
    return " ".join(text.split()) if text else ""


def educator_key(text: str | None) -> str | None:
    """Return an Educator ID or State Staff ID as it is compared: cleaned NFKC text without leading zeros.

    None when nothing is left: such an id names nobody.
    """
    if not text:
        return None
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return clean(text).lstrip("0") or None


def name_part(text: str | None) -> str:
    """Return one name as it is compared: NFKC, case folded, cleaned; "" when there is none.

    Idempotent: folding case can undo the normal form and the other way round (Unicode 3.13, D146),
    so both are repeated until nothing changes.
    """
    if not text:
        return ""
    if text.isascii():
        return " ".join(text.lower().split())
    while (folded := clean(unicodedata.normalize("NFKC", text).casefold())) != text:
        text = folded
    return text


def join_parts(last: str, first: str) -> str | None:
    """Return two results of `name_part` as one comparable text, or None when either is "": nobody's."""
    return f"{last}{SEPARATOR}{first}" if last and first else None


def name_key(last: str | None, first: str | None) -> str | None:
    """Return both names as one comparable text, or None when either is blank: it matches nobody."""
    return join_parts(name_part(last), name_part(first))
