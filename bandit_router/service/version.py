"""The version of the installed package."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache  # every request is traced with it, and looking it up reads files
def version() -> str:
    """Return the version, or ``unknown`` where the package runs from a folder uninstalled."""
    try:
        return metadata.version("bandit-router")
    except metadata.PackageNotFoundError:
        return "unknown"
