"""sqlite-utils without pandas, which it loads where that happens to be installed.

It would only use pandas to insert pandas' own values; we have none, and it is 60 MB of memory.
"""

from __future__ import annotations

from ..absent import absent

with absent("pandas"):
    from sqlite_utils import Database

__all__ = ["Database"]
