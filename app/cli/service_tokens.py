"""Commands on service tokens."""

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from app.access import Scope
from app.cli import console
from app.cli.common import District, out, parse_span, with_factory
from app.constants import DEFAULT_DISTRICT
from app.models.base import utc_now

if TYPE_CHECKING:
    from app.factory import Factory
    from app.models import ServiceToken
    from app.storage.token_reads import Counts

cli = typer.Typer(help="Tokens with which integrators' programs sign in.", no_args_is_help=True)
OfDeployment = Annotated[
    bool, typer.Option("--deployment", help="Of no district: health and metrics of the whole deployment.")
]
User = Annotated[str, typer.Option(help="Who does it, for the list.")]


@cli.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Names the program, such as erp-sync.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; give it several times.")] = None,
    district: District = DEFAULT_DISTRICT,
    deployment: OfDeployment = False,
    ttl: Annotated[str, typer.Option(help="How long it is valid, up to 366d.")] = "90d",
    user: User = "cli",
) -> None:
    """Make a service token; the last line is the token alone, which is not shown again."""
    scopes = scope or ([Scope.DEPLOYMENT_READ] if deployment else [])
    lifetime = parse_span(ttl)

    async def make(factory: "Factory") -> str | None:
        of = None if deployment else (await factory.districts.get(district)).id
        made = await factory.service_tokens.create(of, user, name, scopes, utc_now() + lifetime)
        return made.token

    sys.stdout.write(f"{with_factory(make)}\n")


@cli.command("list")
def show(district: District = DEFAULT_DISTRICT, deployment: OfDeployment = False) -> None:
    """List service tokens, revoked and expired ones too."""
    of = None if deployment else district

    async def read(factory: "Factory") -> "tuple[list[ServiceToken], dict[UUID, dict[str, Counts]]]":
        tokens = await factory.service_tokens.list(of)
        return tokens, await factory.token_reads.totals(of, [token.id for token in tokens])

    out.print(console.service_tokens_table(*with_factory(read, district=of)), crop=False)


@cli.command("revoke")
def revoke(
    token_id: Annotated[UUID, typer.Argument(metavar="ID", help="As the list shows it.")],
    district: District = DEFAULT_DISTRICT,
    deployment: OfDeployment = False,
    user: User = "cli",
) -> None:
    """End a service token for good, from its next request on."""
    of = None if deployment else district
    with_factory(lambda factory: factory.service_tokens.revoke(of, token_id, user))
    out.print(f"{token_id} is revoked.", highlight=False)
