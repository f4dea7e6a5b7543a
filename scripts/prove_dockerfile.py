"""Proves the Dockerfile without a container engine: its steps run in chroots, and what they make is used.

`sudo make prove-dockerfile` needs root, debootstrap (apt-get install debootstrap), a mirror in apt's
configuration, and some 2 GB in /var/tmp for a few minutes. Processes then run as a container's would: the
image's user without any capability, a root file system that is read-only, /tmp and the volume writable, a
network of their own.
PostgreSQL and Redis are real, outside, and reached by their sockets.
"""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from app.embedded_redis import find_server
from scripts.dockerfile_build import Build, Image, UnprovedError, run, say
from tests.support.postgres import PostgresCluster

CONTEXT = Path(__file__).parent.parent
SHARED = "/mnt"
"""Where a container finds sockets and secrets; every Debian has that directory."""
STOP_LIMIT = 30
"""Seconds, as compose.yaml gives a worker at least."""
FILE = "Curr_Lic_Eds_End_Limits_20261122.csv"
LICENCES = """EducatorID,LastName,FirstName,LicenseNumber,LicenseStatus,LicenseIssueDate,LicenseExpirationDate
45127,Marsh,Katherine,VT0045127,ACT,07/01/2024,06/30/2029
"""
EMPLOYEES = """employee_number,state_staff_id,last_name,first_name,status
1001,45127,Marsh,Katherine,active
"""


class Containers:
    """Runs an image with one volume and the sockets and secrets of `shared`."""

    def __init__(self, image: Image, volume: Path, shared: Path) -> None:
        self._image = image
        self._volume = volume
        self._shared = shared

    def command(self, arguments: list[str]) -> list[str]:
        """Return what starts a container with these arguments for its entry point."""
        root = self._image.root
        [volume] = self._image.volumes
        mounts = [
            "set -e",
            "ip link set lo up",
            f"mount --bind {root} {root}",
            f"mount --bind {self._volume} {root}{volume}",
            f"mount --rbind {self._shared} {root}{SHARED}",
            f"mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs {root}/tmp",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"mount -o remount,bind,ro {root}",
            f"exec {shlex.join(self._as_user([*self._image.entrypoint, *arguments]))}",
        ]
        namespaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        return ["unshare", *namespaces, "sh", "-c", "\n".join(mounts)]

    def _as_user(self, command: list[str]) -> list[str]:
        user, _, group = self._image.user.partition(":")
        dropped = ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        env = self._image.env | {
            "CERTSYNC_DATABASE_URL": f"postgresql://certsync@/postgres?host={SHARED}/postgres",
            "CERTSYNC_REDIS_URL": f"unix://{SHARED}/redis.sock",
            "CERTSYNC_ALLOW_INSTANCE_TOKENS": "true",
            "CERTSYNC_SECRET_KEY_FILE": f"{SHARED}/secret.key",
            "CERTSYNC_ENCRYPTION_KEYS_FILE": f"{SHARED}/encryption.keys",
        }
        return [
            *("chroot", str(self._image.root), "setpriv", f"--reuid={user}", f"--regid={group}", *dropped),
            *(
                "env",
                "-i",
                f"--chdir={self._image.workdir}",
                *(f"{name}={value}" for name, value in env.items()),
            ),
            *command,
        ]

    def run(self, *arguments: str) -> str:
        """Run a command of certsync in a container to its end, and return what it printed."""
        say(f"    $ certsync {shlex.join(arguments)}")
        return run(self.command(list(arguments)))

    def start(self, stack: ExitStack, arguments: list[str], log: Path) -> "Running":
        """Start a container that is ended with `stack`."""
        with log.open("wb") as output:
            process = subprocess.Popen(self.command(arguments), stdout=output, stderr=output)
        stack.callback(process.wait)
        stack.callback(process.kill)  # the namespace's first process goes with it
        return Running(process, log, lambda command: ["--mount", "--net", "--pid", *self._as_user(command)])


class Running:
    """A container that runs."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, entered: Callable[[list[str]], list[str]]
    ) -> None:
        self._process = process
        self._log = log
        self._entered = entered

    def _pid(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else 0  # it was not forked yet, or has ended

    def execute(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command beside the first process, as `docker exec` does."""
        return subprocess.run(
            ["nsenter", f"--target={self._pid()}", *self._entered(command)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def wait_until(self, what: str, true: Callable[[], bool], limit: float = 60) -> None:
        """Wait until it is so; raises UnprovedError with the container's log when it ends or time is up."""
        deadline = time.monotonic() + limit
        while not true():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise UnprovedError(f"not {what}:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.2)
        say(f"    {what}")

    def stop(self, name: str) -> None:
        """Send the stop signal to the first process; it has to end in good order."""
        begun = time.monotonic()
        os.kill(self._pid(), signal.Signals[name])
        code = self._process.wait(timeout=STOP_LIMIT)
        say(f"    {name}: exit code {code} after {time.monotonic() - begun:.1f} s")
        if code != 0:
            raise UnprovedError(f"it ended with {code}:\n{self._log.read_text()[-3000:]}")


def prepare(image: Image, work: Path, stack: ExitStack) -> Containers:
    """Start PostgreSQL and Redis, and make secrets and a volume that belongs to the image's user."""
    user, group = map(int, image.user.split(":"))
    volume, shared = work / "volume", work / "shared"
    volume.mkdir(mode=0o700)
    shared.mkdir(mode=0o755)
    for name in ("secret.key", "encryption.keys"):
        (shared / name).write_bytes(b64encode(secrets.token_bytes(32)))
        (shared / name).chmod(0o400)
        os.chown(shared / name, user, group)
    (volume / FILE).write_text(LICENCES)
    (volume / "employees.csv").write_text(EMPLOYEES)
    for path in (volume, volume / FILE, volume / "employees.csv"):
        os.chown(path, user, group)
    cluster = PostgresCluster()
    stack.callback(cluster.stop)
    (shared / "postgres").mkdir()
    run(["mount", "--bind", cluster.directory, shared / "postgres"])
    stack.callback(run, ["umount", shared / "postgres"])
    cluster.directory.chmod(0o711)
    (cluster.directory / ".s.PGSQL.5432").chmod(0o777)
    options = ["--port", "0", "--unixsocket", f"{shared}/redis.sock", "--unixsocketperm", "777", "--save", ""]
    redis = subprocess.Popen([find_server(), *options], stdout=subprocess.DEVNULL)
    stack.callback(redis.wait)
    stack.callback(redis.kill)
    return Containers(image, volume, shared)


def use(image: Image, work: Path, stack: ExitStack) -> None:
    """Do with the image what a deployment does, and check what comes of it."""
    containers = prepare(image, work, stack)
    volume = image.volumes[0]
    containers.run("migrate")
    containers.run("districts", "add", "demo")
    containers.run("employees", "load", f"{volume}/employees.csv", "--district", "demo")
    pdf = containers.run("import", f"{volume}/{FILE}", "--district", "demo").splitlines()[-1]
    made = (work / "volume" / Path(pdf).relative_to(volume)).read_bytes()
    if not made.startswith(b"%PDF-"):
        raise UnprovedError(f"{pdf} is not a PDF")
    say(f"    a PDF of {len(made):,} bytes at {pdf}")

    api = containers.start(stack, image.command, work / "api.log")
    api.wait_until("healthy, says HEALTHCHECK", lambda: api.execute(image.healthcheck).returncode == 0)
    worker = containers.start(stack, ["worker"], work / "worker.log")
    ask = "import urllib.request as web; print(web.urlopen('http://127.0.0.1:8000/health/ready').read())"
    asked = ["python", "-c", ask]
    api.wait_until("ready, with a worker", lambda: '"ready"' in api.execute(asked).stdout)
    who = api.execute(["id", "-u"]).stdout.strip()
    for path in ("/certsync", f"{image.workdir}/app/certsync"):
        refused = api.execute(["touch", path]).stderr.strip()
        say(f"    as user {who}: {refused}")
        if who != image.user.partition(":")[0] or "Read-only file system" not in refused:
            raise UnprovedError("the user is another one, or the root file system can be written")
    worker.stop(image.stop_signal)
    api.stop(image.stop_signal)


def main() -> int:
    """Return the exit code."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        say("This needs root and debootstrap: apt-get install debootstrap; sudo make prove-dockerfile")
        return 1
    work = Path(tempfile.mkdtemp(prefix="certsync-image-", dir="/var/tmp"))
    work.chmod(0o755)
    begun = time.monotonic()
    try:
        with ExitStack() as stack:
            image = Build(CONTEXT, work).image()
            size = int(run(["du", "--summarize", "--block-size=1M", image.root]).split()[0])
            say(f"Built in {time.monotonic() - begun:.0f} s: {size} MiB with the emulated base. Using it:")
            use(image, work, stack)
    except UnprovedError as error:
        say(f"\nNOT PROVED. {error}")
        return 1
    finally:
        shutil.rmtree(work)
    say(f"Proved in {time.monotonic() - begun:.0f} s: {CONTEXT / 'Dockerfile'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
