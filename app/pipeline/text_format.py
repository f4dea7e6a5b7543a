"""What a licence file is as text: its encoding, and its records as csv sees them, in bounded memory."""

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.failures import FileUnreadable

CHUNK = 64 * 1024
"""Bytes read at a time. A line that fills a whole chunk is no row, so no line is over twice as long."""
MAX_RECORD_LINES = 100
"""Lines of one record. Beyond, a quotation mark was not closed, and the lines after it are rows again."""
MAX_RECORD = 4 * CHUNK
"""Characters of one record, likewise: its lines could have millions of columns between them."""

DAMAGE = re.compile("[\0\udc80-\udcff]")
"""NUL, and the stand-ins (PEP 383) of bytes that are no text in the file's encoding."""

# Never text, and with an answer of their own for the person who put the wrong file there.
SIGNATURES = {
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"PK\x03\x04": "an Excel workbook or a zip archive; export it as CSV",
    b"PK\x05\x06": "an empty zip archive",
    b"PK\x07\x08": "a part of a zip archive; it has to be stored as CSV, unpacked",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; export it as CSV",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "compressed with gzip; it has to be stored uncompressed",
    **{
        b"BZh%d1AY&SY" % level: "compressed with bzip2; it has to be stored uncompressed"
        for level in range(1, 10)
    },
    b"\xfd7zXZ": "compressed with xz; it has to be stored uncompressed",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; it has to be stored uncompressed",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; it has to be stored as CSV, unpacked",
    b"Rar!\x1a\x07": "a RAR archive; it has to be stored as CSV, unpacked",
    b"-----BEGIN PGP": "encrypted; it has to be stored decrypted",
}
_ESCAPES = re.compile(r"\\(?:[tnr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})")
CONTROL = bytes(range(0x20)).translate(None, b"\t\n\v\f\r") + b"\x7f"
CP1252_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"


@dataclass(frozen=True)
class TextFormat:
    """How a file is decoded: Python's name of the encoding, and whether `DAMAGE` occurs in the text."""

    encoding: str
    damaged: bool


def examine(path: Path, encoding: str = "auto") -> TextFormat:
    """Read a whole file once, in chunks, and return how it is decoded.

    `encoding` is `auto`, `utf-8` or `windows-1252`. `auto` is UTF-8 when all of it is, or when it holds more
    characters beyond ASCII than bytes that are none (a UTF-8 file with a few broken bytes: taking it for
    Windows-1252 would garble every accented name); otherwise Windows-1252. A byte order mark decides.

    Raises FileUnreadable when it is no regular file, empty, a web page, no text, or has a line that is too
    long for a row.
    """
    if not path.is_file():
        raise FileUnreadable(f"{path} is not a regular file. Give the path of a licence file.")
    tally = _Tally()
    with path.open("rb") as file:
        chunk = file.read(CHUNK)
        _check_head(chunk)
        bom = chunk.startswith(codecs.BOM_UTF8)
        while chunk:
            tally.add(chunk)
            chunk = file.read(CHUNK)
    tally.finish()
    if encoding == "auto":
        is_utf8 = bom or not tally.invalid or tally.wide > tally.invalid
        encoding = "utf-8" if is_utf8 else "windows-1252"
    if encoding == "utf-8":
        return TextFormat("utf-8-sig" if bom else "utf-8", bool(tally.nul or tally.invalid))
    return TextFormat("windows-1252", bool(tally.nul or tally.undefined))


class _Tally:
    """Counts, chunk by chunk, what tells encodings apart, and refuses what is no text."""

    def __init__(self) -> None:
        self.wide = self.invalid = self.undefined = self.nul = self._offset = 0
        self._blank = True
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")

    def add(self, chunk: bytes) -> None:
        if b"\0" in chunk:
            self.nul += 1
            if (hole := chunk.find(b"\0\0")) >= 0:
                raise FileUnreadable(
                    f"The file holds zero bytes at byte {self._offset + hole + 1}: "
                    "it is not text, or its transfer was broken."
                )
        if len(chunk) == CHUNK and b"\n" not in chunk and b"\r" not in chunk:
            raise FileUnreadable(
                f"The file has a line of over {CHUNK // 1024} KiB near byte {self._offset + 1}: "
                "it is not a table of licences."
            )
        self._blank = self._blank and not chunk.removeprefix(codecs.BOM_UTF8).strip()
        self._offset += len(chunk)
        self._decode(chunk)

    def finish(self) -> None:
        self._decode(b"", final=True)
        if self._blank:
            raise FileUnreadable("The file is empty.")

    def _decode(self, chunk: bytes, *, final: bool = False) -> None:
        text = self._decoder.decode(chunk, final)
        if text.isascii():
            return
        try:
            text.encode()
            invalid = 0
        except UnicodeEncodeError:  # a stand-in is half a character; looking for them takes longer
            invalid = len(DAMAGE.findall(text.replace("\0", "")))
        self.invalid += invalid
        self.wide += len(text) - len(text.encode("ascii", "ignore")) - invalid
        self.undefined += len(chunk) - len(chunk.translate(None, CP1252_UNDEFINED))


def _check_head(head: bytes) -> None:
    for signature, what in SIGNATURES.items():
        if head.startswith(signature):
            raise FileUnreadable(f"The file is {what}.")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"<"):
        what = "XML" if text[:5].lower() == b"<?xml" else "a web page"
        raise FileUnreadable(
            f"The file is {what}, not a table of licences: "
            "the server may have stored a sign-in or an error page in its place."
        )
    first_line = re.split(rb"[\r\n]", text, maxsplit=1)[0]
    if len(first_line) != len(first_line.translate(None, CONTROL)):
        raise FileUnreadable("The file is not text; its first line holds control characters.")


def records(
    lines: Iterator[str], delimiter: str, width: int | None = None, *, damaged: bool = False
) -> Iterator[tuple[int, list[str], str]]:
    """Yield the records of a table: number of the first line, counted from 1, fields, and what is wrong.

    RFC 4180, read strictly, except that spaces after a delimiter do not count. A record has to have `width`
    fields, and no `DAMAGE` in a `damaged` text; a blank line is no record. What is wrong is "" or a reason;
    then the one field is the line as it stands.

    A faulty record is given up at its first line and reading goes on with the second: a quotation mark that
    is never closed costs its own row and none of those that follow.
    """
    taken: list[str] = []
    again: deque[str] = deque()

    def feed() -> Iterator[str]:
        while (line := again.popleft() if again else next(lines, None)) is not None:
            taken.append(line)
            if len(taken) > MAX_RECORD_LINES or (len(taken) > 1 and sum(map(len, taken)) > MAX_RECORD):
                raise csv.Error
            yield line

    number = 1
    while True:
        reader = csv.reader(feed(), delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for fields in reader:
                if damaged or len(fields) != width:
                    fault = _fault(fields, taken, width, damaged=damaged)
                    if fault:
                        break
                    if is_blank(fields):
                        number += len(taken)
                        taken.clear()
                        continue
                yield number, fields, ""
                number += len(taken)
                taken.clear()
            else:
                return
        except csv.Error:
            fault = "has a quotation mark that is not closed, or text behind a closing one"
        yield number, [taken[0].rstrip("\r\n")], fault
        number += 1
        again.extendleft(reversed(taken[1:]))
        taken.clear()


def is_blank(fields: list[str]) -> bool:
    """Return whether these are the fields of a blank line; a line of nothing but delimiters is none."""
    return not fields or (len(fields) == 1 and not fields[0].strip())


def _fault(fields: list[str], taken: list[str], width: int | None, *, damaged: bool) -> str:
    if damaged and DAMAGE.search("".join(taken)):
        return "has a byte that is no character of the file's encoding"
    if width is not None and len(fields) != width and not is_blank(fields):
        return f"has {len(fields)} field{'s' if len(fields) > 1 else ''} instead of {width}"
    return ""


def visible(text: str, limit: int = 200) -> str:
    """Return `text` cut to `limit` characters, with what does not print (line ends too) as an escape."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else _escape(c) for c in cut)


def as_read(text: str) -> str:
    """Return what `visible` was given, as far as it can be told: a backslash may have been in the file."""
    return _ESCAPES.sub(lambda found: found[0].encode().decode("unicode_escape"), text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
