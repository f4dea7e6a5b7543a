"""The console script: everything an operator does, in one place.

Heavy parts are imported by the commands that need them, so that `--help` answers at once.
"""

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.child_process import forbid_core_dumps
from app.cli import audit, connection_events, data, databases, person, service_tokens
from app.cli.common import District, harmless, load_settings, out, parse_span, with_factory
from app.cli.keys import keys
from app.constants import DEFAULT_DISTRICT, EVERY_DISTRICT, Role
from app.errors import AppError, ConfigurationError, DatabaseCopyError
from app.failures import RunFailure
from app.settings import Settings

if TYPE_CHECKING:
    from app.factory import Factory

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")]

cli = typer.Typer(
    help="Keeps teacher licences in a school district's ERP true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(data.districts, name="districts")
cli.add_typer(data.employees, name="employees")
cli.add_typer(data.job_classes, name="job-classes")
cli.add_typer(person.cli, name="person")
cli.add_typer(service_tokens.cli, name="service-tokens")
cli.add_typer(keys, name="keys")
cli.add_typer(audit.audit, name="audit")
cli.add_typer(connection_events.connection_events, name="connection-events")
cli.command()(data.inspect)
cli.command("import")(data.import_file)
cli.command()(databases.copy_to)
cli.command()(databases.backup)


@cli.command()
def up(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run everything on this machine: migrations, Redis, the API and a worker, until Ctrl-C."""
    from app.supervisor import run_up

    def prepare(settings: Settings) -> None:
        prepare_database(settings)
        with_factory(_check_keys, settings)

    raise typer.Exit(run_up(load_settings(), host, port, prepare))


@cli.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
    inherited: Annotated[int | None, typer.Option("--socket", hidden=True)] = None,
) -> None:
    """Run the API alone, in one process or in several."""
    from app.cli.server import run_server, run_servers
    from app.main import create_app

    settings = load_settings()
    with_factory(_check_keys)  # what is wrong with the set-up is said here, not in a traceback of the server
    if workers > 1:
        raise typer.Exit(run_servers(host, port, workers))
    run_server(create_app(settings), settings, host, port, inherited)


@cli.command()
def worker() -> None:
    """Run a worker, which executes runs; several may run beside each other."""
    from workers.settings import run_worker

    with_factory(_check_keys)
    asyncio.run(run_worker(load_settings()))


async def _nothing(_factory: "Factory") -> None:
    return None


async def _check_keys(factory: "Factory") -> None:
    await factory.keys.check()


def prepare_database(settings: Settings) -> None:
    """Bring the schema up to date; a development instance gets the newcomer's district."""
    from app import migrations

    migrations.upgrade(settings)
    with_factory(_ensure_default if settings.environment == "development" else _nothing, settings)


async def _ensure_default(factory: "Factory") -> None:
    await factory.districts.ensure_default()


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date; does nothing when it is."""
    prepare_database(load_settings())
    out.print("The schema is up to date.")


@cli.command()
def token(
    user: Annotated[str, typer.Option(help="The user id that the token speaks for.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    district: District = DEFAULT_DISTRICT,
    ttl: Annotated[str, typer.Option(help="How long it is valid: 30m, 24h, 90d.")] = "24h",
) -> None:
    """Issue a token, signed with this instance's key; the last line is the token alone."""
    from app.services.tokens import issue_token

    lifetime = parse_span(ttl)

    async def issue(factory: "Factory") -> str:
        scope = EVERY_DISTRICT if role is Role.OPS else (await factory.districts.get(district)).id
        try:
            return issue_token(factory.authentication.signing_key, user, role, scope, lifetime)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--user") from error

    sys.stdout.write(with_factory(issue) + "\n")


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from app.main import create_app

    document = create_app(Settings()).openapi()
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def main() -> None:
    """Run the command line; an expected failure is one line on standard error and exit code 1."""
    from app.pipeline.layout import LayoutError

    os.umask(0o077)  # whatever is written here holds personal data
    forbid_core_dumps()
    try:
        cli()
    except (ConfigurationError, DatabaseCopyError, LayoutError) as error:
        fail(str(error))
    except RunFailure as failure:
        fail(failure.message)
    except UnicodeEncodeError:
        if all(word.isprintable() for word in sys.argv):
            raise
        fail("An argument is not UTF-8. Only the names of files may be so.")
    except AppError as error:
        fail("\n".join([error.detail, *(f"  {_place(fault.loc)}: {fault.msg}" for fault in error.errors)]))


def _place(loc: tuple[str | int, ...]) -> str:
    return " ".join(str(part) for part in loc)


def fail(message: str) -> None:
    """End with a message and exit code 1."""
    sys.stderr.write(f"certsync: {harmless(message)}\n")
    sys.exit(1)
