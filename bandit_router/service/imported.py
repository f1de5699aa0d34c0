"""Functions of the operator's, named in the settings."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ..exceptions import ConfigError


def imported(name: str, key: str) -> Callable[..., Any]:
    """Return the function that `name`, ``"package.module:function"``, stands for.

    Parameters
    ----------
    key
        The dotted key of the setting that names it.

    Raises
    ------
    ConfigError
        If there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{key}: {name!r} cannot be found ({error}): give 'package.module:function'", key
        ) from None
    if not callable(found):
        raise ConfigError(f"{key}: {name!r} is no function", key)
    function: Callable[..., Any] = found
    return function
