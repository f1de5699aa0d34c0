"""`[tenants.NAME]`: routers of their own in one deployment, by what they have otherwise.

A tenant's tables are those of a configuration file. What it does not say it has from the file, key
by key; a list, such as its models, it has whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..exceptions import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_SHARED = {
    "server": "all tenants are served at one address",
    "tenants": "a tenant has none of its own",
    "store.path": "its database lies beside that of the file, and bears its name",
}


def tenant_tables(file: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the whole configuration of each tenant of a file.

    Raises
    ------
    ConfigError
        If a tenant's name cannot be part of a file's name, or it sets what all of them share.
    """
    base = {key: value for key, value in file.items() if key != "tenants"}
    return {name: _whole(name, base, own) for name, own in file.get("tenants", {}).items()}


def check_tenant_name(name: str) -> None:
    """Refuse what cannot be a tenant's name, and part of a file's.

    Raises
    ------
    ConfigError
        With the field `tenants`.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"tenants: {name!r} is no name for a tenant: give a lower-case letter and at most 39 "
            "letters, digits, - and _",
            "tenants",
        )


def _whole(name: str, base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    check_tenant_name(name)
    for key, why in _SHARED.items():
        table, _, inner = key.partition(".")
        if table in own and (not inner or inner in _keys(own[table])):
            raise ConfigError(f"tenants.{name}.{key}: leave it out: {why}", f"tenants.{name}.{key}")
    whole = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        whole[key] = {**base[key], **value} if both else value
    archive = _keys(whole.get("store")).get("archive")
    if isinstance(archive, str):  # its files are named by events' numbers
        whole["store"] = {**whole["store"], "archive": f"{archive}/{name}"}
    return whole


def _keys(table: Any) -> Mapping[str, Any]:
    """Return a table's keys; of what is none, as the parser will say, none."""
    return table if isinstance(table, Mapping) else {}
