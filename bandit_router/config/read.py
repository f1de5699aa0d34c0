"""Settings from a TOML file and the environment, every key checked before anything starts."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..exceptions import ConfigError
from .checks import check_kin, check_models, check_names, check_settings, nearest
from .kinds import Table
from .tables import Config, File, Settings
from .tenants import tenant_tables

ENVIRONMENT_PREFIX = "BANDIT_ROUTER_"


def load_config(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration: the file, then the environment over it.

    Parameters
    ----------
    path
        A TOML file; None takes the defaults.
    environ
        Environment variables; those named ``BANDIT_ROUTER_<TABLE>_<KEY>`` are read.

    Raises
    ------
    ConfigError
        With the dotted key of the offending setting as `field`.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_bytes().decode())
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from None
    _overlay(raw, environ or {})
    return parse_config(raw)


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Check a configuration that is already a mapping; see `load_config`."""
    config = _parsed(raw)
    tenants = {name: _tenant(name, own) for name, own in tenant_tables(raw).items()}
    return msgspec.structs.replace(config, tenants=tenants)


def _tenant(name: str, raw: Mapping[str, Any]) -> Config:
    try:
        return msgspec.structs.replace(_parsed(raw), tenant=name)
    except ConfigError as error:
        field = f"tenants.{name}.{error.field or ''}".rstrip(".")
        raise ConfigError(f"tenants.{name}.{error}", field) from None


def _parsed(raw: Mapping[str, Any]) -> Config:
    _refuse_unfinite(raw, "")
    try:
        file = msgspec.convert(raw, File)
    except msgspec.ValidationError as error:
        raise _explained(error, raw) from None
    fields = {name: getattr(file, name) for name in Settings.__struct_fields__}
    config = Config(settings=Settings(**fields), models=file.models)
    check_models(config.models)
    names = [model.name for model in config.models]
    check_kin(config.models, names)
    check_names(names, config.settings.profiles)
    check_settings(config)
    return config


def _overlay(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Write ``BANDIT_ROUTER_<TABLE>_<KEY>`` variables over `raw`, in place."""
    tables = {
        field.name: field.type
        for field in msgspec.structs.fields(Settings)
        if isinstance(field.type, type) and issubclass(field.type, Table)
    }
    known = {
        f"{ENVIRONMENT_PREFIX}{table}_{field.name}".upper(): (table, field)
        for table, type_ in tables.items()
        for field in msgspec.structs.fields(type_)
    }
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable not in known:
            raise ConfigError(
                f"the environment variable {variable} sets nothing{nearest(variable, known)}",
                variable,
            )
        table, field = known[variable]
        section = raw.setdefault(table, {})
        if isinstance(section, dict):
            section[field.name] = _from_text(text, field.type, f"{table}.{field.name}")


def _from_text(text: str, type_: Any, key: str) -> Any:
    for candidate in (text, f'"{text}"'):  # TOML's own notation first: 3, [1, 2], true
        try:
            value = tomllib.loads(f"value = {candidate}")["value"]
            return msgspec.to_builtins(msgspec.convert(value, type_))
        except (tomllib.TOMLDecodeError, msgspec.ValidationError):
            continue
    try:
        return msgspec.to_builtins(msgspec.convert(text, type_, strict=False))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}: {error} (from the environment)", key) from None


def _refuse_unfinite(value: Any, key: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_unfinite(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            _refuse_unfinite(inner, key)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}: {value} is no finite number", key)


def _explained(error: msgspec.ValidationError, raw: Mapping[str, Any]) -> ConfigError:
    """Turn msgspec's message into one with a dotted key and the nearest known name."""
    text = str(error)
    what, _, where = text.partition(" - at `$")
    path = re.sub(r"\[[^\]]*\]", "", where.rstrip("`")).lstrip(".")
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown:
        name = unknown[1]
        key = f"{path}.{name}".lstrip(".")
        return ConfigError(f"{key}: no such setting{nearest(name, _keys_at(path))}", key)
    missing = re.search(r"missing required field `([^`]*)`", what)
    if missing:
        key = f"{path}.{missing[1]}".lstrip(".")
        return ConfigError(f"{key}: required, and not given", key)
    return ConfigError(f"{path}: {what[0].lower() + what[1:]}", path or None)


def _keys_at(path: str) -> list[str]:
    here: Any = File
    for part in filter(None, path.split(".")):
        types = {f.name: f.type for f in msgspec.structs.fields(here)}
        inner = types.get(part)
        inner = next(
            (a for a in getattr(inner, "__args__", ()) if hasattr(a, "__struct_fields__")), inner
        )
        if not hasattr(inner, "__struct_fields__"):
            return []
        here = inner
    return [field.name for field in msgspec.structs.fields(here)]
