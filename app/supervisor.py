"""`certsync up`: everything in one command, started in order, watched, and ended in the reverse order."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from app.child_process import ChildProcess, start_child
from app.database_urls import database_url
from app.embedded_redis import STOP_LIMIT, EmbeddedRedis, find_server
from app.errors import ConfigurationError
from app.local_address import base_url, free_port, health_status
from app.redis_client import redis_place
from app.settings import PREFIX, Settings
from app.watchdog import start_watched

READY_LIMIT = 60.0
"""Seconds until `/health/ready` must say `ready`."""
QUICK_DEATH = 10.0
"""Seconds; a service that lives longer counts as having started."""
LONGEST_DELAY = 10.0
"""Seconds between two restarts at most; the delay doubles from `Service.restart_delay`."""
LEFTOVER_LIMIT = 5.0
"""Seconds in which the children of a killed instance give up the port."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """One row of the table of what runs.

    `restarts` is the number of quick deaths in a row that are forgiven; with 0 its end ends everything.
    `stop_limit` and `restart_delay` are seconds. `log_tail` gives its last lines if they are not on the
    terminal.
    """

    name: str
    start: Callable[[], Awaitable[ChildProcess]]
    stop_limit: float = 10.0
    restarts: int = 0
    restart_delay: float = 0.5
    log_tail: Callable[[], str] | None = None


class ServiceFailed(Exception):  # noqa: N818 - it is what happened to a service
    """A service ended, or never got ready; the message is for the person at the terminal."""


class Supervisor:
    """Runs a table of services until one fails or a signal asks for the end.

    They are stopped in the reverse order, one after the other, or all `at_once`.
    """

    def __init__(self, services: Sequence[Service], *, at_once: bool = False) -> None:
        self._services = services
        self._at_once = at_once
        self._children: dict[str, ChildProcess] = {}
        self._being_stopped: list[ChildProcess] = []
        self._ending = False

    async def run(self, until_ready: Callable[[], Awaitable[None]], announce: Callable[[], None]) -> None:
        """Start the services in order, announce when ready, and stay until SIGINT, SIGTERM or SIGHUP.

        The services are stopped, whatever happens. A second signal kills those that are being waited for.

        Raises:
            ServiceFailed: a service ended or did not get ready.
            ConfigurationError: a service cannot start as things are set up.
        """
        work = asyncio.create_task(self._work(until_ready, announce))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, self._on_signal, work)
        await asyncio.wait({work})
        self._ending = True
        await self._stop_all()
        if not work.cancelled():
            await work

    def _on_signal(self, work: asyncio.Task[None]) -> None:
        if not self._ending:
            self._ending = True
            say("\nEnding; what goes on may finish first. Ctrl-C again: do not wait for it.")
            work.cancel()
        else:
            for child in self._being_stopped:
                child.kill()

    async def _work(self, until_ready: Callable[[], Awaitable[None]], announce: Callable[[], None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for service in self._services:
                    self._children[service.name] = await service.start()
                    group.create_task(self._watch(service))
                await until_ready()
                announce()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _watch(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        quick_deaths = 0
        while True:
            started = loop.time()
            code = await self._children[service.name].wait()
            quick_deaths = quick_deaths + 1 if loop.time() - started < QUICK_DEATH else 1
            if quick_deaths > service.restarts:
                log.error("service_failed", service=service.name, exit_code=code)
                raise ServiceFailed(describe_end(service, code))
            delay = min(service.restart_delay * 2 ** (quick_deaths - 1), LONGEST_DELAY)
            log.warning("service_restarts", service=service.name, exit_code=code, delay=delay)
            await asyncio.sleep(delay)
            self._children[service.name] = await service.start()

    async def _stop_all(self) -> None:
        stops = [
            (child, service.stop_limit)
            for service in reversed(self._services)
            if (child := self._children.get(service.name))
        ]
        for together in [stops] if self._at_once else [[stop] for stop in stops]:
            self._being_stopped = [child for child, _ in together]
            await asyncio.gather(*(child.stop(limit) for child, limit in together))


def describe_end(service: Service, code: int) -> str:
    """Return a sentence on how a service ended, and its last log lines or where they are."""
    how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    tail = f"Its log ends with:\n{service.log_tail()}" if service.log_tail else "Its last lines are above."
    return f"Everything was ended because the {service.name} service {how}. {tail}"


def say(text: str) -> None:
    """Print, if there is still a terminal: one that was closed must not keep us from ending the children."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def only_instance(data_dir: Path) -> Iterator[bool]:
    """Hold `DATA_DIR/up.lock`, which has our process id in it, and make `data_dir` when it is missing.

    Yields whether the instance before us was killed: only a clean end empties the file.

    Raises:
        ConfigurationError: another instance holds the lock, or the directory cannot be written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (data_dir / "up.lock").open("a+", encoding="ascii")
    except OSError as error:
        raise ConfigurationError(
            f"CERTSYNC_DATA_DIR {data_dir.absolute()} cannot be used: {error.strerror}."
        ) from error
    with file:
        file.seek(0)
        owner = file.read().strip()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"Already running on {data_dir.absolute()} (process {owner or 'unknown'}). "
                "End that one, or set another CERTSYNC_DATA_DIR and --port."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield bool(owner)
        file.truncate(0)


def api_and_worker(host: str, port: int, env: Mapping[str, str]) -> list[Service]:
    """Return the services that are this program itself, run with `env` on top of our environment."""
    command = (sys.executable, "-m", "app.cli")
    serve = (*command, "serve", "--host", host, "--port", str(port))
    start_worker = partial(start_watched, "worker", (*command, "worker"), env=env)
    return [
        Service("api", partial(start_child, serve, env=env)),
        Service("worker", start_worker, stop_limit=30, restarts=4),
    ]


def run_up(
    settings: Settings,
    host: str,
    port: int,
    migrate: Callable[[Settings], None],
    programs: Callable[[str, int, Mapping[str, str]], Sequence[Service]] = api_and_worker,
) -> int:
    """Run everything on this machine until Ctrl-C, SIGTERM or SIGHUP; to be called in the main thread.

    Args:
        settings: those of this process; its children read the same from the environment.
        host: address the API listens on.
        port: its port, 0 for any free one.
        migrate: brings the database's schema up to date.
        programs: what is run beside Redis, in the order of starting.

    Returns:
        The exit code: 0 after a signal, 1 when something could not start or ended by itself; the
        reason is on standard error.
    """
    try:
        with only_instance(settings.data_dir) as after_a_kill:
            port = free_port(host, port, patience=LEFTOVER_LIMIT if after_a_kill else 0)
            embedded = None if settings.redis_url else EmbeddedRedis(settings.data_dir, find_server())
            migrate(settings)
            services: list[Service] = []
            env = {f"{PREFIX}MIGRATION_DATABASE_URL{end}": "" for end in ("", "_FILE")}  # done with
            if embedded:
                env[f"{PREFIX}REDIS_URL"] = embedded.url
                services.append(Service("redis", embedded.start, STOP_LIMIT, log_tail=embedded.log_tail))
            supervisor = Supervisor([*services, *programs(host, port, env)])
            asyncio.run(
                supervisor.run(
                    until_ready=partial(wait_until_ready, host, port),
                    announce=lambda: say(where_things_are(settings, host, port, embedded)),
                )
            )
    except (ConfigurationError, ServiceFailed) as error:
        sys.stderr.write(f"certsync up: {error}\n")
        return 1
    say("Ended.")
    return 0


async def wait_until_ready(host: str, port: int) -> None:
    """Return once the API says that database, Redis and a worker are there.

    Raises:
        ServiceFailed: it does not within `READY_LIMIT`.
    """
    status = "no answer"
    try:
        async with asyncio.timeout(READY_LIMIT):
            while (status := await health_status(host, port)) != "ready":  # noqa: ASYNC110 - other process
                await asyncio.sleep(0.25)
    except TimeoutError:
        raise ServiceFailed(
            f"Not ready after {READY_LIMIT:g} s; {base_url(host, port)}/health/ready says: {status}."
        ) from None


def where_things_are(settings: Settings, host: str, port: int, embedded: EmbeddedRedis | None) -> str:
    """Return the block that is printed when all is ready; no password is in it."""
    database = database_url(settings).set(query={})  # parameters may hold a password as well
    if database.get_backend_name() == "sqlite":
        database_at = f"SQLite, {database.database}"
    else:
        database_at = database.set(drivername="postgresql").render_as_string(hide_password=True)
    redis_at = f"{embedded.binary.name}, {embedded.socket}" if embedded else redis_place(settings)
    rows = {
        "API": f"{base_url(host, port)}/api/v1",
        "Docs": f"{base_url(host, port)}/docs",
        "Data": str(settings.data_dir.resolve()),
        "Database": database_at,
        "Redis": redis_at,
        "Logs": "here" + (f"; of Redis in {embedded.log_file}" if embedded else ""),
    }
    lines = "\n".join(f"  {name:<10}{value}" for name, value in rows.items())
    return f"\ncertsync is ready.\n\n{lines}\n\nCtrl-C ends everything.\n"
