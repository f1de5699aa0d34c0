"""Commands over the API keys of a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .options import DATABASE, JSON, must_exist, not_blank, of_tenant, plain_errors, several

if TYPE_CHECKING:
    from ..store import ApiKey, Place


@click.group(epilog="Example: bandit-router keys add app --db router.db")
def keys() -> None:
    """API keys: once there is one, every request needs one."""


KEYS_DB = click.option("--db", type=DATABASE, required=True, help="The database.")


@keys.command("add", epilog="Example: bandit-router keys add app --db router.db --usd-per-day 5")
@click.argument("name", callback=not_blank)
@KEYS_DB
@click.option(
    "--scopes",
    callback=several,
    default="route,feedback",
    show_default=True,
    help="What it may do: route, feedback, metrics, admin.",
)
@click.option("--requests-per-minute", type=float, help="More are refused (429).")
@click.option("--usd-per-day", type=float, help="Spread over the day (UTC); then refused (429).")
@click.option("--usd-total", type=float, help="Then refused (403).")
@click.option("--no-pacing", is_flag=True, help="Only refuse beyond --usd-per-day.")
@JSON
@of_tenant
@plain_errors
def add_key(
    name: str,
    db: Place,
    scopes: list[str],
    no_pacing: bool,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Make a key and print it, once: only its hash is kept. A running service takes it at once."""
    from ..store import check_key, open_keys

    check_key(name, scopes, **limits)  # before a database is made for it
    with open_keys(db) as store:
        key, text = store.add(name, scopes, paced=not no_pacing, **limits)
    click.echo(json.dumps({"key": text, **_public(key)}) if as_json else text)


@keys.command("list", epilog="Example: bandit-router keys list --db router.db --tenant acme")
@KEYS_DB
@JSON
@of_tenant
@plain_errors
def list_keys(db: Place, as_json: bool) -> None:
    """List the keys, the revoked too; none of them can be read again."""
    from ..store import open_keys

    must_exist(db)
    with open_keys(db) as store:
        found = [_public(key) for key in store.all()]
    if as_json:
        click.echo(json.dumps({"keys": found}))
        return
    if not found:
        click.echo("no keys yet: bandit-router keys add NAME --db FILE", err=True)
    for key in found:
        state = "revoked" if key["revoked"] else "in use"
        click.echo(f"{key['id']}  {state:8}  {','.join(key['scopes']):20}  {key['name']}")


@keys.command("revoke", epilog="Example: bandit-router keys revoke app --db router.db")
@click.argument("which")
@KEYS_DB
@JSON
@of_tenant
@plain_errors
def revoke_key(which: str, db: Place, as_json: bool) -> None:
    """Revoke the key of this id or name; a running service refuses it within a second."""
    from ..store import open_keys

    must_exist(db)
    with open_keys(db) as store:
        key = store.revoke(which)
    click.echo(json.dumps(_public(key)) if as_json else f"revoked {key.name} ({key.id})")


def _public(key: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a key."""
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(key)
    del shown["hash"]
    return shown
