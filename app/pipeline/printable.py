"""Makes foreign text fit to print: short, visible, and cheap to set, whatever it holds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_PILED_MARKS = re.compile("([\u0300-\u036f]{4})[\u0300-\u036f]+")
_JOINERS = "\u200c\u200d"  # invisible, but part of the spelling in some scripts
_IDEOGRAPHS = "\u2e80"  # from here on each character may be one that no installed font has
_DISTINCT_IDEOGRAPHS = 500


class Printable:
    """Cleans the texts of one document.

    Control and direction characters could rearrange what stands beside them, so they show as U+FFFD; of
    marks piled on one letter, which would cover the lines above, the first few are left. Setting a
    character that no font has takes time that grows with the square of their number (WeasyPrint 70),
    so a document has at most 500 different ones from U+2E80 on; further ones show as U+FFFD too.
    """

    def __init__(self) -> None:
        self._ideographs: set[str] = set()

    def clean(self, value: Any, limit: int) -> Any:
        """Return `value` with every text in it, at any depth, printable and at most `limit` long."""
        if isinstance(value, str):
            return self._text(value if len(value) <= limit else value[: limit - 1] + "…")
        if isinstance(value, Mapping):
            return {key: self.clean(item, limit) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [self.clean(item, limit) for item in value]
        return value

    def _text(self, text: str) -> str:
        if text.isascii() and text.isprintable():
            return text
        return "".join(map(self._character, _PILED_MARKS.sub(r"\1", text)))

    def _character(self, character: str) -> str:
        if character.isspace():
            return " "
        if not (character.isprintable() or character in _JOINERS):
            return "\ufffd"
        if character >= _IDEOGRAPHS and character not in self._ideographs:
            if len(self._ideographs) == _DISTINCT_IDEOGRAPHS:
                return "\ufffd"
            self._ideographs.add(character)
        return character
