"""Answers that are files: a browser saves them under a name of ours, and shows none as a page."""

from collections.abc import AsyncIterable, AsyncIterator

from fastapi.responses import StreamingResponse


def attachment(name: str) -> dict[str, str]:
    """Return the header that names a file (RFC 6266): letters, digits, `.` and `-`, chosen here."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def begun(chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    """Return the same with its first part made, so that a fault there is answered as what it is."""
    first = await anext(chunks, None)

    async def whole() -> AsyncIterator[str]:
        if first is not None:
            yield first
        async for chunk in chunks:
            yield chunk

    return whole()


def download(chunks: AsyncIterable[str | bytes], media_type: str, name: str) -> StreamingResponse:
    """Return a file that is read, or made, while it is sent."""
    return StreamingResponse(chunks, media_type=media_type, headers=attachment(name))
