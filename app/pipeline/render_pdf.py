"""The child process that turns HTML into PDF: `python -m app.pipeline.render_pdf PARENT_PID < html > pdf`.

A process of its own because WeasyPrint needs about 10 ms and 120 KiB for a table row, holds the
interpreter lock and keeps its memory; here it can be limited and killed. On failure it exits non-zero
and the last line of stderr says why, without a word of the document, which is full of people's names.
"""

import contextlib
import ctypes.util
import gc
import logging
import os
import resource
import sys
import traceback
from typing import Any

from app.child_process import die_with_parent

MEMORY_LIMIT = 1024**3
"""Bytes of address space; a report of 500 rows needs about a third of it."""


def main(parent: int) -> None:
    """Read HTML from stdin and write the PDF to stdout; `parent` is the process id to end with."""
    die_with_parent(parent)
    os.nice(10)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
    with contextlib.suppress(ValueError):  # macOS takes no address space limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    gc.disable()  # a fifth faster; the process is short-lived
    logging.disable()  # WeasyPrint's warnings quote the document
    weasyprint = _load_weasyprint()
    html = sys.stdin.buffer.read().decode()
    try:
        # No address is ever fetched: neither over the network nor from this machine's disk.
        fetcher = weasyprint.urls.URLFetcher(allowed_protocols=("data",))
        document = weasyprint.HTML(string=html, url_fetcher=fetcher)
        document.write_pdf(sys.stdout.buffer, pdf_variant="pdf/ua-1")
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - whatever it is, its message may quote the document
        where = traceback.extract_tb(error.__traceback__)[-1]
        sys.exit(f"{type(error).__name__} in {where.name}, line {where.lineno} of {where.filename}")


def _load_weasyprint() -> Any:
    if sys.platform == "linux":
        # WeasyPrint tries several names for each library. For those that no file has, this would start
        # linkers and compilers, 68 processes in all; the dynamic linker knows the right one by itself.
        ctypes.util.find_library = lambda name: None  # noqa: ARG005 - the name is of the signature
    try:
        import weasyprint
        import weasyprint.urls
    except OSError:
        sys.exit(
            "A system library of WeasyPrint is missing; "
            "install it with: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
        )
    return weasyprint


if __name__ == "__main__":
    main(int(sys.argv[1]))
