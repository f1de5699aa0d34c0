"""The version of the installed package."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version, or ``unknown`` where the package runs from a folder uninstalled."""
    try:
        return metadata.version("bandit-router")
    except metadata.PackageNotFoundError:
        return "unknown"
