"""sqlite-utils without pandas, which it loads where that happens to be installed.

It would only use pandas to insert pandas' own values; we have none, and it is 60 MB of memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Let imports of a package fail, if nobody has imported it yet."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


with _absent("pandas"):
    from sqlite_utils import Database

__all__ = ["Database"]
