"""What the commands share: options, and how they end when something fails."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..exceptions import BanditRouterError, ConfigError, InvalidInput, MissingExtra, TableError

if TYPE_CHECKING:
    from ..config import Config
    from ..store import Place


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
CONFIG = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings and models, TOML."
)


class Database(click.ParamType[Any]):
    """A file, or the URL of a PostgreSQL database."""

    name = "file or url"

    def convert(self, value: Any, param: Any, ctx: Any) -> Place:
        """Return the URL as text, a file as a path."""
        if str(value).startswith(("postgresql://", "postgres://")):
            return str(value)
        file = click.Path(path_type=Path, dir_okay=False)
        return Path(file.convert(value, param, ctx))


DATABASE = Database()
DB = click.option("--db", type=DATABASE, help="The database: a file, or postgresql://...")

Command = Callable[..., None]


def _tenant_name(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    from ..config.tenants import check_tenant_name

    if text is not None:
        try:
            check_tenant_name(text)
        except ConfigError as error:
            raise click.BadParameter(str(error).removeprefix("tenants: ")) from None
    return text


TENANT = click.option(
    "--tenant",
    metavar="NAME",
    callback=_tenant_name,
    help="The database of a tenant of [tenants.NAME], beside that of the deployment.",
)


def of_tenant(command: Command) -> Command:
    """Add `--tenant`: the command's `db` is then the database of that tenant."""

    @functools.wraps(command)
    def wrapped(*args: Any, db: Place, tenant: str | None, **kwargs: Any) -> None:
        from ..store import place_of

        command(*args, db=place_of(tenant, db), **kwargs)

    return TENANT(wrapped)


def several(_: click.Context, __: click.Parameter, text: str | None) -> list[str]:
    """Return the values of an option that takes several, comma-separated."""
    values = [part.strip() for part in (text or "").split(",") if part.strip()]
    if text is not None and not values:
        raise click.BadParameter(f"{text!r}: name at least one")
    return values


def must_exist(db: Place) -> None:
    """Refuse a database that is not there, for a command that would make an empty one.

    Raises
    ------
    InvalidInput
        If it is a file that is not there.
    """
    if isinstance(db, Path) and not db.exists():
        raise InvalidInput(f"{db}: there is no database: check the path", "db")


def configured(config: Path | None, tenant: str | None = None) -> Config:
    """Return the settings of a file, or the defaults, under the environment's.

    Raises
    ------
    ConfigError
        If they cannot be read.
    InvalidInput
        If a tenant is named that the file does not have.
    """
    from ..config import load_config, nearest

    found = load_config(config, os.environ)
    if tenant is None or config is None:
        return found
    if tenant not in found.tenants:
        known = nearest(tenant, found.tenants)
        raise InvalidInput(f"{config} has no [tenants.{tenant}]{known}", "tenant")
    return found.tenants[tenant]


def not_blank(_: click.Context, __: click.Parameter, text: str) -> str:
    """Return the value of an argument that must say something."""
    if not text.strip():
        raise click.BadParameter("it must not be blank")
    return text


def plain_errors(command: Command) -> Command:
    """End with one line, or one JSON object, when something fails on purpose.

    Exit code 2 where an option or a setting is wrong, 1 where the command has failed.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (BanditRouterError, OSError) as error:
            field, message = getattr(error, "field", None), str(error)
            if isinstance(error, OSError) and error.filename is not None:
                message = f"{error.filename}: {error.strerror}: check the path"
            if kwargs.get("as_json"):
                body = {"type": type(error).__name__, "message": message}
                click.echo(json.dumps({"error": body | ({"field": field} if field else {})}))
            if (option := _misused(error)) is not None:
                raise click.BadParameter(
                    message, ctx=click.get_current_context(), param=option
                ) from None
            click.echo(f"Error: {message}", err=True)
            sys.exit(2 if isinstance(error, ConfigError) else 1)

    return wrapped


def _misused(error: Exception) -> click.Parameter | None:
    """Return the option that an error is about, None if it is about what a place holds."""
    if not isinstance(error, InvalidInput) or isinstance(error, TableError | MissingExtra):
        return None
    flag = f"--{(error.field or '').replace('_', '-')}"
    for option in click.get_current_context().command.params:
        if flag in option.opts and not isinstance(option.type, click.Path | Database):
            return option
    return None
