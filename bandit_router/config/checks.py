"""What no type says of settings: names that clash or are unknown, numbers beyond all measure."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

from ..exceptions import ConfigError
from ..types import Endpoint, Model
from .choosing import Profile
from .tables import Config, models_named

AUTO = "auto"
"""As the model of a request: the router chooses."""

DEAREST = 1e9
"""The highest list price, US dollars per million tokens: the squares of costs are summed up."""


def is_model_name(text: str) -> bool:
    """Tell whether a model may be called so: printable, not blank, and without a comma."""
    return bool(text.strip()) and "," not in text and text.isprintable()


def check_models(models: tuple[Model, ...]) -> None:
    """Refuse model names that clash or cannot be written, and numbers that make no sense.

    Raises
    ------
    ConfigError
        Naming the model.
    """
    seen: set[str] = set()
    for model in models:
        name = model.name
        if model.similar_to == name:
            raise ConfigError(f"models.similar_to: {name!r} names itself", "models.similar_to")
        if not is_model_name(name):
            raise ConfigError(
                f"models.name: {name!r} must be printable text without a comma", "models.name"
            )
        if name in seen:
            raise ConfigError(f"models.name: {name!r} is given twice", "models.name")
        seen.add(name)
        for key, low, high in (
            ("input_usd_per_m", 0.0, DEAREST),
            ("output_usd_per_m", 0.0, DEAREST),
            ("cached_input_usd_per_m", 0.0, DEAREST),
            ("quality_prior", 0.0, 1.0),
            ("context_tokens", 1.0, math.inf),
        ):
            value = getattr(model, key)
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                limit = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
                raise ConfigError(
                    f"models.{key}: {value!r} of {name!r} must be a number {limit}", f"models.{key}"
                )
        for endpoint in model.endpoints:
            _check_endpoint(endpoint, name)


def _check_endpoint(endpoint: Endpoint, name: str) -> None:
    url, field = endpoint.base_url, "models.endpoints.base_url"
    if url is None and endpoint.kind == "openai":
        raise ConfigError(f"{field}: an endpoint of {name!r} needs one", field)
    if url is not None and not re.match(r"https?://[^/\s]", url):
        raise ConfigError(
            f"{field}: {url!r} of {name!r} must begin with http:// or https://", field
        )
    for key in ("input_usd_per_m", "output_usd_per_m", "cached_input_usd_per_m"):
        price = getattr(endpoint, key)
        if price is not None and not 0.0 <= price <= DEAREST:
            field, limit = f"models.endpoints.{key}", f"between 0 and {DEAREST:g}"
            raise ConfigError(f"{field}: {price!r} of {name!r} must be {limit}", field)


def check_kin(models: Iterable[Model], known: Iterable[str]) -> None:
    """Refuse a model that is said to be similar to one that there is not.

    Raises
    ------
    ConfigError
        Naming both.
    """
    names = set(known)
    for model in models:
        if model.similar_to is not None and model.similar_to not in names:
            raise ConfigError(
                f"models.similar_to: {model.similar_to!r} of {model.name!r} is no model"
                f"{nearest(model.similar_to, names)}; take the line out, or keep a model that no "
                "longer serves with `available = false`",
                "models.similar_to",
            )


def check_names(models: Iterable[str], profiles: Iterable[Profile]) -> None:
    """Refuse a model or a profile that no request could name, since the name means another thing.

    Raises
    ------
    ConfigError
        Naming it.
    """
    taken = [profile.name for profile in profiles]
    if AUTO in taken:
        raise ConfigError(
            f"profiles.name: {AUTO!r} lets the router choose without a profile: call it otherwise",
            "profiles.name",
        )
    for name in models:
        if name == AUTO or name in taken:
            means = "lets the router choose" if name == AUTO else "is the name of a profile"
            raise ConfigError(
                f"models.name: {name!r} {means}: call the model otherwise", "models.name"
            )


def check_settings(config: Config) -> None:
    """Refuse tables that do not fit together, or that name a model there is not."""
    levels = config.settings.clusterer.resolutions
    if not levels or list(levels) != sorted(levels, reverse=True) or len(set(levels)) < len(levels):
        raise ConfigError(
            "clusterer.resolutions: give one or more radii, each smaller than the one before",
            "clusterer.resolutions",
        )
    names = [profile.name for profile in config.settings.profiles]
    if len(set(names)) < len(names):
        raise ConfigError("profiles.name: two profiles have the same name", "profiles.name")
    known = {model.name for model in config.models}
    for key, name in models_named(config.settings) if known else ():
        if name not in known:
            raise ConfigError(f"{key}: {name!r} is no model{nearest(name, known)}", key)


def nearest(name: str, known: Any) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
