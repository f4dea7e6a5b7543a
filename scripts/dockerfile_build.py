"""Executes a Dockerfile's steps in chroots: what `docker build` does, for the instructions that ours has.

What is emulated: the base image `python:X.Y-slim-SUITE` is a debootstrap of that Debian suite with Debian's
own Python of the same version, and a build's network and package index are this machine's.
"""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

BASE = re.compile(r"python:(?P<version>\d+\.\d+)-slim-(?P<suite>[a-z]+)")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ROOT = "0:0"
WIDTH = 120
INDEX_OPTIONS = ("index-url", "cert", "proxy", "trusted-host", "timeout")
NETWORK = ("/etc/resolv.conf", "/etc/hosts")


@dataclass
class Image:
    """A root directory and what the Dockerfile says of how it is run."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = ROOT
    volumes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"


class UnprovedError(Exception):
    """The Dockerfile cannot be proved here, or a step of it failed."""


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(command: Sequence[str | Path]) -> str:
    """Return what a command printed; raises UnprovedError with the end of its output when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise UnprovedError(f"{command[0]} … ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


class Build:
    """A build of `context`/Dockerfile below the directory `work`."""

    def __init__(self, context: Path, work: Path) -> None:
        self._context = context
        self._work = work
        self._stages: dict[str, Image] = {}
        self._ignored = (context / ".dockerignore").read_text(encoding="utf-8").split()

    def image(self) -> Image:
        """Execute every step and return the last stage."""
        image: Image | None = None
        with (self._context / "Dockerfile").open("rb") as file:
            steps = DockerfileParser(fileobj=file).structure
        for step in steps:
            name, value = step["instruction"], step["value"]
            if name == "COMMENT":
                continue
            say(textwrap.shorten(f"--> {name} {value}", WIDTH, placeholder=" …"))
            if name == "FROM":
                image = self._from(value)
            elif image is None or not hasattr(self, f"_do_{name.lower()}"):
                raise UnprovedError(f"line {step['startline'] + 1}: {name} is not supported here")
            else:
                getattr(self, f"_do_{name.lower()}")(image, value)
        assert image is not None
        return image

    def _from(self, value: str) -> Image:
        base, _, stage = value.partition(" AS ")
        image = Image(self._work / f"stage-{len(self._stages)}")
        run(["cp", "--archive", "--reflink=auto", self._base(base.strip()), image.root])
        self._stages[stage.strip() or f"{len(self._stages)}"] = image
        return image

    def _base(self, name: str) -> Path:
        found = BASE.fullmatch(name)
        if not found:
            raise UnprovedError(f"{name}: only python:X.Y-slim-SUITE can be emulated")
        root = self._work / f"base-{found['suite']}"
        if not root.exists():
            mirror = debian_mirror(found["suite"])
            say(f"    emulated by debootstrap {found['suite']} from {mirror}, with Debian's Python")
            packages = "--include=ca-certificates,python3,python3-venv"
            run(["debootstrap", "--variant=minbase", packages, found["suite"], root, mirror])
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")  # the image's name for it
        version = run(["chroot", root, "python3", "--version"]).split()[1]
        if not version.startswith(f"{found['version']}."):
            raise UnprovedError(f"{name}: Debian's Python is {version}")
        return root

    def _do_run(self, image: Image, value: str) -> None:
        if image.user != ROOT:
            raise UnprovedError(f"RUN as the user {image.user} is not supported here")
        index = machines_index() if "pip " in value else {}
        env = image.env | index
        binds = [path for path in (*NETWORK, *local_paths(index)) if Path(path).exists()]
        for path in binds:
            make_mount_point(image.root, Path(path))
        run(build_step(image, value, env, binds))

    def _do_copy(self, image: Image, value: str) -> None:
        *flags, source, target = shlex.split(value)
        origin = self._context
        for flag in flags:
            if not flag.startswith("--from="):
                raise UnprovedError(f"COPY {flag} is not supported here")
            origin = self._stages[flag.removeprefix("--from=")].root
        found = origin / source.lstrip("/")
        goal = image.root / str(Path(image.workdir, target)).lstrip("/")
        goal.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            ignore = None if flags else self._ignore
            shutil.copytree(found, goal, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy2(found, goal / found.name if target.endswith("/") else goal)

    def _ignore(self, directory: str, names: list[str]) -> set[str]:
        """Leave out what .dockerignore names, by the patterns that ours has."""
        inside = Path(directory).relative_to(self._context)
        patterns = [pattern.removeprefix("**/") for pattern in self._ignored]
        return {
            name
            for name in names
            if any(fnmatch.fnmatch(name, each) or str(inside / name) == each for each in patterns)
        }

    def _do_workdir(self, image: Image, value: str) -> None:
        image.workdir = str(Path(image.workdir, value))
        (image.root / image.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _do_env(self, image: Image, value: str) -> None:
        image.env.update(pairs(value))

    def _do_label(self, image: Image, value: str) -> None:
        image.labels.update(pairs(value))

    def _do_user(self, image: Image, value: str) -> None:
        image.user = value

    def _do_volume(self, image: Image, value: str) -> None:
        image.volumes.append(value)

    def _do_expose(self, _image: Image, _value: str) -> None:
        """Document a port."""

    def _do_stopsignal(self, image: Image, value: str) -> None:
        image.stop_signal = value

    def _do_healthcheck(self, image: Image, value: str) -> None:
        image.healthcheck = json.loads(value.partition("CMD ")[2])

    def _do_entrypoint(self, image: Image, value: str) -> None:
        image.entrypoint = json.loads(value)

    def _do_cmd(self, image: Image, value: str) -> None:
        image.command = json.loads(value)


def pairs(value: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of an ENV or LABEL."""
    for word in shlex.split(value):
        name, _, text = word.partition("=")
        yield name, text


def debian_mirror(suite: str) -> str:
    """Return the mirror of a suite that this machine's apt is configured with."""
    listed = run(["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)"])
    for line in listed.splitlines():
        codename, component, address = line.split(maxsplit=2)
        if (codename, component) == (suite, "main"):
            return address
    raise UnprovedError(f"apt on this machine has no source for {suite} main")


def machines_index() -> dict[str, str]:
    """Return how this machine's pip reaches its index, as variables: a builder has to be told, too.

    Directories of packages that it looks into as well are left out, no builder has them.
    """
    listed = run([sys.executable, "-m", "pip", "config", "list"])
    found = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in INDEX_OPTIONS:
            found[f"PIP_{option.upper().replace('-', '_')}"] = value.strip("'")
    return found


def local_paths(index: dict[str, str]) -> list[str]:
    """Return the paths of this machine that the variables of its index name."""
    words = [word.removeprefix("file://") for value in index.values() for word in value.split()]
    return [word for word in words if word.startswith("/")]


def make_mount_point(root: Path, path: Path) -> None:
    """Let `path` of this machine be mounted at the same place below `root`."""
    goal = root / str(path).lstrip("/")
    if path.is_dir():
        goal.mkdir(parents=True, exist_ok=True)
    else:
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.touch()


def build_step(image: Image, script: str, env: dict[str, str], binds: list[str]) -> list[str]:
    """Return the command that runs a RUN's script, with `binds` of this machine mounted."""
    root = image.root
    lines = ["set -e", f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
    lines += [f"mount --bind {shlex.quote(path)} {shlex.quote(f'{root}{path}')}" for path in binds]
    inside = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in env.items())])
    go = '\'cd "$0" && exec /bin/sh -c "$1"\''
    lines.append(f"exec {inside} chroot {root} /bin/sh -c {go} {image.workdir} {shlex.quote(script)}")
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", "\n".join(lines)]
