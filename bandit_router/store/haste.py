"""Writing only if nobody has to be waited for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from .connection import BUSY_SECONDS
from .sqlite import Database

SLOW_S, PAUSE_S = 0.02, 10.0
"""How long a write at once may take, and for how long there is none after one that took longer."""


class Occupied(Exception):
    """Another thread or connection writes."""


class Pace:
    """Whether the disk keeps up with what is handed to the system."""

    def __init__(self) -> None:
        self._slow_until = 0.0

    @property
    def good(self) -> bool:
        """Whether no write has taken long of late."""
        return monotonic() >= self._slow_until

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Note how long a write takes."""
        started = monotonic()
        yield
        if monotonic() - started > SLOW_S:
            self._slow_until = monotonic() + PAUSE_S


@contextmanager
def held(lock: Lock, wait: bool) -> Iterator[None]:
    """Hold a lock; without `wait` there is `Occupied` where another thread does."""
    if not lock.acquire(blocking=wait):
        raise Occupied
    try:
        yield
    finally:
        lock.release()


@contextmanager
def impatient(db: Database) -> Iterator[None]:
    """Let there be `Occupied` where another connection writes, instead of waiting for it."""
    db.conn.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise Occupied from None
        raise
    finally:
        db.conn.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS:.0f}").fetchall()
