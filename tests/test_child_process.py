"""Children end when they are told to, and when we are gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from app.child_process import start_child
from tests.support.processes import ROOT, alive, until, until_async

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
PARENT = """
import asyncio, sys
from app.child_process import start_child

async def main():
    child = await start_child([sys.executable, "-c", sys.argv[1]])
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""


async def test_child_shares_our_session_but_not_our_process_group() -> None:
    child = await start_child([sys.executable, "-c", "import signal; signal.pause()"])
    assert os.getsid(child.pid) == os.getsid(0)
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    assert await child.stop(limit=10) == -signal.SIGTERM


async def test_child_that_ignores_sigterm_is_killed_with_what_it_started(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    script = (
        f"{DEAF} import pathlib, subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        f"pathlib.Path({str(ready)!r}).write_text(str(child.pid)); child.wait()"
    )
    child = await start_child([sys.executable, "-c", script])
    await until_async(lambda: ready.exists() and ready.read_text())
    assert await child.stop(limit=0.1) == -signal.SIGKILL
    await until_async(lambda: not alive(int(ready.read_text())))


async def test_stopping_an_ended_child_returns_its_exit_code() -> None:
    child = await start_child([sys.executable, "-c", "raise SystemExit(7)"])
    assert await child.wait() == 7
    child.kill()
    assert await child.stop(limit=20) == 7


async def test_variables_and_output_reach_the_child(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        script = "import os, sys; print(os.environ['EXTRA'], 'PATH' in os.environ, sys.stdin.read() == '')"
        child = await start_child([sys.executable, "-c", script], env={"EXTRA": "yes"}, output=output)
        assert await child.wait() == 0
    assert (tmp_path / "out").read_text() == "yes True True\n"


def test_child_ends_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", PARENT, f"{DEAF} signal.pause()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        until(lambda: not alive(child))


def test_child_whose_parent_died_before_the_call_ends_itself() -> None:
    script = "from app.child_process import die_with_parent; die_with_parent(1 << 30); print('lives')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


SHOW = """
import ctypes, os, resource, subprocess, sys
def show():
    PR_GET_DUMPABLE = 3
    print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE), flush=True)
resource.setrlimit(resource.RLIMIT_CORE, 2 * resource.getrlimit(resource.RLIMIT_CORE)[1:])
"""
CRASH = f"""{SHOW}
from app.child_process import forbid_core_dumps
forbid_core_dumps()
show()
limit = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)"
subprocess.run([sys.executable, "-c", limit])
os.abort()
"""
COMMAND = f"""{SHOW}
from app.cli import main
sys.argv = ["certsync", "keys", "generate"]
try:
    main()
finally:
    show()
"""


def test_a_crash_leaves_no_image_of_the_memory(tmp_path: Path) -> None:
    ended = run(CRASH, tmp_path)
    assert ended.returncode == -signal.SIGABRT
    assert ended.stdout.splitlines() == ["(0, 0) 0", "(0, 0)"], "with what it starts"
    assert list(tmp_path.iterdir()) == []


def test_every_command_sees_to_it(tmp_path: Path) -> None:
    ended = run(COMMAND, tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[1:] == ["(0, 0) 0"]


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
