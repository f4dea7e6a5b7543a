"""scripts/setup.sh on machines that lack something, played by stand-ins on a PATH of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
TOOLS = ("sh", "cat", "dirname", "env", "grep", "mktemp", "rm")
PANGO_IS_MISSING = '[ "$1" != - ]'


class Machine:
    """A checkout and a PATH whose programs say what the test wants."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        shutil.copytree(SCRIPTS, root / "scripts")
        for tool in TOOLS:
            self.bin.joinpath(tool).symlink_to(str(shutil.which(tool)))
        self.program("id", "echo 1000")

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.bin / "sh", self.root / "scripts" / "setup.sh", *arguments],
            env={"PATH": str(self.bin)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_a_new_enough_python_it_says_which_one_and_how(machine: Machine) -> None:
    machine.program("python3", "exit 1")
    status, output = machine.setup()
    assert status == 1
    assert "Python 3.11 or newer" in output
    assert "sudo apt-get install python3.11 python3.11-venv" in output


def test_without_the_right_to_install_it_says_the_command(machine: Machine) -> None:
    machine.program("python3", PANGO_IS_MISSING)
    machine.program("apt-get", "echo apt-get was called")
    machine.program("sudo", "exit 1")
    status, output = machine.setup()
    assert status == 1
    assert "\n    sudo sh scripts/apt-install.sh libpango-1.0-0 libpangoft2-1.0-0 " in output
    assert "apt-get was called" not in output


def test_what_benchmarks_stand_beside_is_not_demanded(machine: Machine) -> None:
    machine.program("python3", PANGO_IS_MISSING)
    machine.program("apt-get", "true")
    machine.program("sudo", "exit 1")
    status, output = machine.setup("bench")
    assert status == 1
    assert "libpango" in output
    assert "pgloader" not in output


def test_what_benchmarks_stand_beside_is_installed_where_it_may_be(machine: Machine) -> None:
    machine.program("python3", PANGO_IS_MISSING)
    machine.program("id", "echo 0")
    machine.program("apt-get", "true")
    (machine.root / "scripts" / "apt-install.sh").write_text('echo "installing $*" >&2; exit 100\n')
    _, output = machine.setup("bench")
    assert " pgloader sqlite3 openssh-client postgresql-client\n" in output
    _, output = machine.setup("test")
    assert "pgloader" not in output


def test_without_apt_it_says_what_is_missing(machine: Machine) -> None:
    machine.program("python3", PANGO_IS_MISSING)
    status, output = machine.setup()
    assert status == 1
    assert "Pango" in output
    assert "package manager" in output
    assert "apt" not in output


def test_a_step_that_fails_shows_its_output(machine: Machine) -> None:
    machine.program("python3", PANGO_IS_MISSING)
    machine.program("id", "echo 0")
    machine.program("apt-get", "true")
    (machine.root / "scripts" / "apt-install.sh").write_text("echo the mirror is down >&2; exit 100\n")
    status, output = machine.setup()
    assert status == 1
    assert "setup: installing system packages: libpango" in output
    assert "the mirror is down" in output


def test_a_stranger_to_root_may_not_run_the_installer(machine: Machine) -> None:
    done = subprocess.run(
        [machine.bin / "sh", machine.root / "scripts" / "apt-install.sh", "make"],
        env={"PATH": str(machine.bin)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "sudo sh" in done.stderr
