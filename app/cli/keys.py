"""Commands on the keys that encrypt stored values: `certsync keys …`."""

import sys
from typing import Annotated

import typer

from app.cli import console
from app.cli.common import out, with_factory

keys = typer.Typer(help="The keys that encrypt stored values.", no_args_is_help=True)


@keys.command("list")
def list_keys() -> None:
    """List the keys, the first of which encrypts, and how many stored values are under each."""
    out.print(console.keys_table(with_factory(lambda factory: factory.keys.uses())), crop=False)


@keys.command("generate")
def generate_key() -> None:
    """Print a fresh key for CERTSYNC_ENCRYPTION_KEYS, or for CERTSYNC_SECRET_KEY; it is stored nowhere."""
    from app.crypto import new_key

    sys.stdout.write(new_key() + "\n")


@keys.command("rotate")
def rotate_keys() -> None:
    """Encrypt anew, under the first key, what is under the others; also while the service runs."""
    rotation = with_factory(lambda factory: factory.keys.rotate())
    out.print(console.rotation_told(rotation), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if rotation.is_complete else 1)


@keys.command("discard")
def discard_key(
    key_id: Annotated[str, typer.Argument(help="Of certsync keys list.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this, only tell what would go.")
    ] = False,
) -> None:
    """Remove what was stored under a lost key and nobody can read any more."""
    loss = with_factory(lambda factory: factory.keys.discard(key_id, confirmed=yes))
    out.print(console.loss_told(loss, key_id, confirmed=yes), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if yes else 1)
