"""The text of a report's PDF."""

from pathlib import Path
from typing import Any

import pypdf

from app.pipeline.pdf import render_pdf


async def text_of(report: dict[str, Any], target: Path, max_rows: int = 500) -> str:
    """Return the text of the report's PDF with single spaces, as it is read aloud."""
    await render_pdf(report, target, timeout=60, max_rows=max_rows)
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(target).pages).split())
