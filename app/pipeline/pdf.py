"""Makes a run's PDF report in a child process, so that no report can stall or outgrow the service."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from app.pipeline.report_html import report_html
from app.settings import PREFIX

__all__ = ["PdfFailed", "render_pdf", "report_html"]

_CHILD = (sys.executable, "-m", "app.pipeline.render_pdf")
_STDERR_SHOWN = 300  # characters of the child's last line

_log = structlog.get_logger(__name__)


class PdfFailed(Exception):  # noqa: N818 - named like the failures of a run in app.errors
    """The PDF could not be made; the message says why. The run and its JSON and CSVs are not affected."""


async def render_pdf(
    report: Mapping[str, Any],
    target: Path,
    *,
    timeout: float,  # noqa: ASYNC109 - the limit belongs to a child that must be killed, not to the caller
    max_rows: int,
) -> None:
    """Write the PDF of a report, whole or not at all, readable by the service's user only.

    Args:
        report: the structure of report.json; its lists may already be cut.
        target: where the PDF goes; its directory exists. Replaced if it is there.
        timeout: seconds after which the rendering is killed. Cancelling kills it too.
        max_rows: rows printed over all lists.

    Raises:
        PdfFailed: the rendering was too slow or failed, or the file could not be written.
    """
    html = await asyncio.to_thread(report_html, report, max_rows)
    pdf = await _render(html, timeout)
    try:
        await asyncio.to_thread(_write, target, pdf)
    except OSError as error:
        raise PdfFailed(f"The PDF could not be written to {target.parent}: {error.strerror}.") from error
    _log.info("pdf_rendered", run_id=report["run"]["id"], bytes=len(pdf))


async def _render(html: str, limit: float) -> bytes:
    """Return the PDF of `html`; the child has ended when this returns or raises."""
    try:
        child = await asyncio.create_subprocess_exec(
            *_CHILD,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # It needs none of our secrets, and it handles text that others wrote.
            env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
        )
    except OSError as error:
        raise PdfFailed(f"The PDF renderer could not be started: {error.strerror}.") from error
    try:
        async with asyncio.timeout(limit):
            pdf, errors = await child.communicate(html.encode())
    except TimeoutError as error:
        raise PdfFailed(
            f"The PDF was not ready within {limit:g} seconds, so its rendering was ended. "
            f"Raise {PREFIX}PDF_TIMEOUT or lower {PREFIX}PDF_ROWS."
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            child.kill()
        await child.wait()
    if child.returncode:
        raise PdfFailed(f"The PDF renderer {_ending(child.returncode)}{_last_line(errors)}")
    return pdf


def _ending(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by signal {-returncode} ({signal.strsignal(-returncode)})"
    return f"exited with code {returncode}"


def _last_line(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:_STDERR_SHOWN]}" if lines else "."


def _write(target: Path, content: bytes) -> None:
    """Replace `target` in one step; two writers at once leave one whole file."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix=".part")
    part = Path(name)  # mkstemp made it with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        part.replace(target)
    except BaseException:
        part.unlink()
        raise
