"""What keeps a replica and the shared database in step, in the background of its event loop.

Delivery is exactly once: events go in order, in one transaction with the replica's mark of what
has been delivered; whoever is not sure whether a transaction was committed reads the mark.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from typing import Any

import msgspec
import psycopg

from ... import codec
from ...exceptions import StoreError
from ...fold import FOLD_VERSION
from ...store import ApiKey, Outbox
from ...store.keys import of_row
from ...store.postgres import Published
from ...store.postgres.connection import (
    INBOX_CHANNEL,
    PUBLISHED_CHANNEL,
    SILENCE_SECONDS,
    conninfo,
    listening,
    name_of,
)
from ...store.postgres.keys import SELECT as SELECT_KEYS
from ..errors import Unavailable
from .ids import Ids

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
_BATCH = 1_000
_KEYS_SECONDS = 1.0
_QUIET_SECONDS = 3.0
_RETRY_SECONDS = 0.5

_INSERT = (
    "INSERT INTO inbox (replica, number, version, body)"
    " SELECT %s, * FROM unnest(%s::bigint[], %s::int[], %s::bytea[]) AS row (number, version, body)"
    " ORDER BY row.number"
)
_PULSE = (
    "SELECT (SELECT seq FROM published),"
    " (SELECT extract(epoch FROM clock_timestamp() - at) + behind FROM pulse)"
)


class State(Published, frozen=True, kw_only=True):
    """A state as the learner published it."""

    def checked(self) -> bytes:
        """Return the body.

        Raises
        ------
        StoreError
            If it is damaged, or another release made it.
        """
        if self.fold_version != FOLD_VERSION:
            raise StoreError(
                f"the learner is of another release (fold version {self.fold_version}, this one's "
                f"is {FOLD_VERSION}): bring both to the same"
            )
        if codec.digest(self.body) != self.digest:
            raise StoreError(f"the published state of event {self.seq} is damaged")
        return self.body


class Link:
    """Delivers the outbox, and fetches states and API keys.

    Attributes
    ----------
    wake
        To be set when there is something to deliver.
    states
        What was published, for whoever takes it.
    refused
        To be set by that one: why the newest state cannot be used.
    ids, keys
        None before the database was first reached.
    delivered_until
        The last number of the outbox that the database has.

    Parameters
    ----------
    url
        Of the database.
    outbox
        What is to be delivered; keeps what a restart needs while the database is away.
    """

    def __init__(self, url: str, outbox: Outbox) -> None:
        self.name = name_of(url)
        self.wake = asyncio.Event()
        self.states: asyncio.Queue[State] = asyncio.Queue(1)
        self.refused: str | None = None
        self.ids: Ids | None = None
        self.keys: list[ApiKey] | None = None
        self.delivered_until = outbox.delivered()
        self._url = url
        self._outbox = outbox
        self._seq = 0
        self._asked_at = 0.0
        self._behind: float | None = None
        self._keys_at = -math.inf
        self._away: str | None = "the database has not been reached yet"
        self._empty = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        """Why the replica's state does not follow the log, None if it does."""
        if self._away is None and time.monotonic() - self._asked_at > _QUIET_SECONDS:
            return "the database is away: it does not answer"
        return self._away or self.refused

    @property
    def age_s(self) -> float | None:
        """Seconds since the newest state was that of the log; None if that is not known."""
        return None if self._behind is None else self._behind + time.monotonic() - self._asked_at

    async def delivered(self) -> None:
        """Return when all is delivered that was in the outbox."""
        while self._away is None:
            self._empty.clear()
            self.wake.set()
            await self._empty.wait()
            if not await asyncio.to_thread(self._outbox.pending, self.delivered_until, 1):
                return

    async def run(self) -> None:
        """Follow the database for ever, through whatever happens to it."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    connection = await self._connect()
                async with connection:
                    await self._greet(connection)
                    while True:
                        async with asyncio.timeout(SILENCE_SECONDS):
                            more = await self._exchange(connection)
                        if not more:
                            await self._pause()
            except (psycopg.Error, OSError, TimeoutError, StoreError) as error:
                self._lost(" ".join(str(error).split()) or "it does not answer")
            except Exception as error:
                log.exception("the link to the database broke")
                self._lost(repr(error))
            await asyncio.sleep(_RETRY_SECONDS * random.uniform(0.5, 1.5))

    def _lost(self, why: str) -> None:
        if self._away is None:
            log.warning("%s is away: %s", self.name, why)
        self._away = f"the database is away: {why}"
        self._empty.set()

    async def listen(self) -> None:
        """Be told at once what is published; without that it is asked for now and then."""
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(listening(PUBLISHED_CHANNEL))
                    async for _ in connection.notifies():
                        self.wake.set()
            except (psycopg.Error, OSError) as error:
                log.debug("not listening: %s", error)
            await asyncio.sleep(_RETRY_SECONDS * random.uniform(2.0, 4.0))

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(conninfo(self._url), autocommit=True)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()

    async def _greet(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Make this replica known, and read what it has delivered and the shared secret."""
        async with asyncio.timeout(SILENCE_SECONDS):
            found = await connection.execute("SELECT value FROM meta WHERE key = 'secret'")
            row = await found.fetchone()
            if row is None:
                raise StoreError("there is no log in this database: start a learner on it")
            self.ids = Ids(row[0].encode())
            await asyncio.to_thread(self._outbox.keep, "secret", row[0].encode())
            await connection.execute(
                "INSERT INTO replicas (name) VALUES (%s) ON CONFLICT DO NOTHING",
                [self._outbox.name],
            )
            await self._read_mark(connection)

    async def _read_mark(self, connection: psycopg.AsyncConnection[Any]) -> None:
        found = await connection.execute(
            "SELECT delivered FROM replicas WHERE name = %s", [self._outbox.name]
        )
        row = await found.fetchone()
        if row is None:
            raise StoreError("this replica is no longer known: it begins anew")
        self.delivered_until = row[0]
        await asyncio.to_thread(self._outbox.forget, row[0])

    async def _exchange(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """Deliver what there is, take what is new; tell whether there is more to deliver."""
        rows = await asyncio.to_thread(self._outbox.pending, self.delivered_until, _BATCH)
        if rows:
            await self._deliver(connection, rows)
        else:
            self._empty.set()
        await self._fetch(connection)
        self._away = None
        return len(rows) == _BATCH

    async def _deliver(self, connection: psycopg.AsyncConnection[Any], rows: list[Any]) -> None:
        first, last = rows[0][0], rows[-1][0]
        async with connection.transaction():
            mark = await connection.execute(
                "UPDATE replicas SET delivered = %s, seen = now()"
                " WHERE name = %s AND delivered = %s",
                [last, self._outbox.name, first - 1],
            )
            if mark.rowcount == 1:
                numbers, versions, bodies = (list(column) for column in zip(*rows, strict=True))
                await connection.execute(_INSERT, [self._outbox.name, numbers, versions, bodies])
                await connection.execute(f"SELECT pg_notify({INBOX_CHANNEL}, '')")
        if mark.rowcount == 1:
            self.delivered_until = last
            await asyncio.to_thread(self._outbox.forget, last)
        else:
            await self._disagree(connection, first)

    async def _disagree(self, connection: psycopg.AsyncConnection[Any], first: int) -> None:
        """Go on from what the database says that it has got."""
        await self._read_mark(connection)
        if self.delivered_until < first - 1:
            log.error(
                "%s has events of this replica up to %d only, and they were delivered up to %d: "
                "was it restored from a backup?",
                self.name,
                self.delivered_until,
                first - 1,
            )
            await connection.execute(
                "UPDATE replicas SET delivered = %s WHERE name = %s AND delivered < %s",
                [first - 1, self._outbox.name, first - 1],
            )
            self.delivered_until = first - 1

    async def _fetch(self, connection: psycopg.AsyncConnection[Any]) -> None:
        asked_at = time.monotonic()
        if asked_at - self._keys_at >= _KEYS_SECONDS:  # first: nobody is served before
            found = await connection.execute(SELECT_KEYS)
            keys = [of_row(row) for row in await found.fetchall()]
            if keys != self.keys:
                await asyncio.to_thread(self._outbox.keep, "keys", msgspec.json.encode(keys))
            self.keys, self._keys_at = keys, asked_at
        seq, behind = await self._one(connection, _PULSE)
        if seq is not None and seq != self._seq and self.states.empty():
            fields = ("seq", "fold_version", "digest", "marks", "body")
            row = await self._one(connection, f"SELECT {', '.join(fields)} FROM published")
            values = dict(zip(fields, row, strict=True))
            state = State(**{**values, "marks": json.loads(values["marks"])})
            self.states.put_nowait(state)
            self._seq = state.seq
        self._asked_at, self._behind = asked_at, None if behind is None else float(behind)

    @staticmethod
    async def _one(connection: psycopg.AsyncConnection[Any], sql: str) -> tuple[Any, ...]:
        row = await (await connection.execute(sql)).fetchone()
        if row is None:
            raise StoreError("the published state is gone")
        return tuple(row)

    # -- what a restart needs while the database is away ---------------------------------------

    def load(self) -> State | None:
        """Take up what was kept; return the state, None if there is none that can be used."""
        secret, keys, state = (self._outbox.kept(key) for key in ("secret", "keys", "state"))
        if secret is None or keys is None:
            return None
        self.ids = Ids(secret)
        self.keys = msgspec.json.decode(keys, type=list[ApiKey])
        return None if state is None else msgspec.msgpack.decode(state, type=State)

    def save(self, state: State) -> None:
        """Keep a state."""
        self._outbox.keep("state", msgspec.msgpack.encode(state))


class RemoteKeys:
    """The API keys as the link read them last."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def all(self) -> list[ApiKey]:
        """Return every key.

        Raises
        ------
        Unavailable
            Before they were first read: nobody is let in unseen.
        """
        if self._link.keys is None:
            raise Unavailable("the API keys have not been read yet")
        return self._link.keys

    def close(self) -> None:
        """Do nothing: the link is the replica's."""
