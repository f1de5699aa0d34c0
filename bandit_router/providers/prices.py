"""The bundled list prices: a dated convenience for models that are named without any."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

from ..config import Config
from ..types import Model


@cache
def list_prices() -> Mapping[str, tuple[float, ...]]:
    """Return model to prices of input, output and (if listed) cached input, dollars a million."""
    text = (resources.files(__package__) / "prices.toml").read_text(encoding="utf-8")
    tables = [table for table in tomllib.loads(text).values() if isinstance(table, dict)]
    return {n: tuple(map(float, prices)) for table in tables for n, prices in table.items()}


def with_list_price(model: Model) -> Model:
    """Return `model` with its list price, if it has no price of its own and is a known one.

    It is known by its name, or by the one that it has at an endpoint; ``maker/`` before it is
    ignored.
    """
    if model.input_usd_per_m is not None or model.output_usd_per_m is not None:
        return model
    names = [model.name, *(e.model for e in model.endpoints if e.model)]
    for name in names:
        found = list_prices().get(name.rsplit("/", 1)[-1])
        if found is not None:
            cached = found[2] if len(found) > 2 else model.cached_input_usd_per_m
            return msgspec.structs.replace(
                model,
                input_usd_per_m=found[0],
                output_usd_per_m=found[1],
                cached_input_usd_per_m=cached,
            )
    return model


def with_list_prices(config: Config) -> Config:
    """Return `config` with list prices where its models have none."""
    return msgspec.structs.replace(config, models=tuple(map(with_list_price, config.models)))
