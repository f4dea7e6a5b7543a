"""Answers that are files: a browser saves them under a name of ours, and shows none as a page."""

from collections.abc import AsyncIterable

from fastapi.responses import StreamingResponse


def attachment(name: str) -> dict[str, str]:
    """Return the header that names a file (RFC 6266): letters, digits, `.` and `-`, chosen here."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def download(chunks: AsyncIterable[str | bytes], media_type: str, name: str) -> StreamingResponse:
    """Return a file that is read, or made, while it is sent."""
    return StreamingResponse(chunks, media_type=media_type, headers=attachment(name))
