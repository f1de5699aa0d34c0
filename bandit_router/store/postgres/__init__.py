"""The event log in a PostgreSQL database that many processes share (extra `postgres`).

One process writes the log, whoever holds the advisory lock; the others put what they saw into
the inbox and read what the writer has published. See docs/scale-out.md.
"""

from .events import PostgresStore
from .inbox import Item, LearnerStore, Published
from .keys import PostgresKeys

__all__ = ["Item", "LearnerStore", "PostgresKeys", "PostgresStore", "Published"]
