"""The renderer of PDFs starts at once, without the help of other programs."""

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

ALONE = """
import os, sys
def note(event, args):
    if event.startswith(("subprocess.", "os.exec", "os.fork", "os.posix_spawn")):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(note)
from app.pipeline import render_pdf
render_pdf.main(int(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere libraries are searched for")
def test_child_starts_no_process_to_find_its_libraries() -> None:
    command = [sys.executable, "-c", ALONE, str(os.getpid())]
    done = subprocess.run(command, input=b"<title>x</title>hello", capture_output=True, check=False, cwd=ROOT)
    assert done.stdout.startswith(b"%PDF"), done.stderr[-2000:]
