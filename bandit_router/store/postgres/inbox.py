"""What only the learner does to a shared database: take the inbox, fold it, publish."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...types import Event
from ..keys import ApiKey, of_row
from ..rows import Rows, unpack
from .connection import INBOX_CHANNEL, PUBLISHED_CHANNEL, listening, plain_words
from .events import PostgresStore
from .keys import SELECT as SELECT_KEYS

KEPT_DAYS = 7
"""How long feedback waits for its decision, which another replica may not have delivered yet."""

_ITEMS = "SELECT id, replica, number, version, body FROM inbox"


class Item(msgspec.Struct, frozen=True):
    """An event that a replica delivered; its `seq` is the replica's own number for it."""

    id: int
    replica: str
    number: int
    event: Event


class Taken(msgspec.Struct, frozen=True):
    """What becomes of items of the inbox; `marks` is each replica's last number that was taken.

    `done` are in the log, or say nothing new; `waiting` were about a decision that was not there
    yet, and may be done by now; `refused` cannot be used, and are kept with the reason.
    """

    done: Sequence[int]
    waiting: Sequence[int]
    refused: Mapping[int, str]
    marks: Mapping[str, int]


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The state after event `seq`, in which every replica's events up to its mark are folded."""

    seq: int
    fold_version: int
    digest: str
    marks: dict[str, int]
    body: bytes


class LearnerStore(PostgresStore):
    """The log with its inbox, for the one that holds the lock."""

    def listen(self) -> None:
        """Be told when something comes into the inbox, from now on."""
        with self._lock, plain_words(self.path):
            self._live().execute(listening(INBOX_CHANNEL))

    def wait(self, seconds: float) -> None:
        """Return when something has come into the inbox, or after so long."""
        with self._lock, plain_words(self.path):
            for _ in self._live().notifies(timeout=seconds, stop_after=1):
                return

    def take(self, limit: int) -> list[Item]:
        """Return the next items, in the order in which they are to be folded."""
        sql = f"{_ITEMS} WHERE NOT waiting AND refused IS NULL ORDER BY id LIMIT %s"
        return [_item(row) for row in self.rows(sql, [limit])]

    def waiting(self) -> list[Item]:
        """Return what waits for its decision; what has waited for too long is refused."""
        with self.transaction() as db:
            db.execute(
                "UPDATE inbox SET waiting = false, refused = 'its decision never came'"
                " WHERE waiting AND arrived < now() - make_interval(days => %s)",
                [KEPT_DAYS],
            )
        return [_item(row) for row in self.rows(f"{_ITEMS} WHERE waiting ORDER BY id")]

    def marks(self) -> dict[str, int]:
        """Return each replica's last number that was taken."""
        recent = "seen > now() - make_interval(days => %s)"
        return dict(self.rows(f"SELECT name, folded FROM replicas WHERE {recent}", [KEPT_DAYS]))

    def commit(self, rows: Rows, taken: Taken) -> None:
        """Write events and strike their items from the inbox, both or neither."""
        with self.transaction() as db:
            self._write(db, [rows])
            if taken.waiting:
                db.execute(
                    "UPDATE inbox SET waiting = true WHERE id = ANY(%s)", [list(taken.waiting)]
                )
            db.execute("DELETE FROM inbox WHERE id = ANY(%s)", [list(taken.done)])
            for id_, why in taken.refused.items():
                db.execute(
                    "UPDATE inbox SET waiting = false, refused = %s WHERE id = %s", [why, id_]
                )
            for name, number in taken.marks.items():
                db.execute(
                    "UPDATE replicas SET folded = greatest(folded, %s) WHERE name = %s",
                    [number, name],
                )

    def publish(self, state: Published) -> None:
        """Let the replicas have a state."""
        fields = [state.seq, state.fold_version, state.digest, json.dumps(state.marks), state.body]
        with self.transaction() as db:
            db.execute(
                "INSERT INTO published (seq, fold_version, digest, marks, body)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (single) DO UPDATE SET"
                " seq = EXCLUDED.seq, fold_version = EXCLUDED.fold_version,"
                " digest = EXCLUDED.digest, marks = EXCLUDED.marks, body = EXCLUDED.body",
                fields,
            )
            db.execute(f"SELECT pg_notify({PUBLISHED_CHANNEL}, %s)", [str(state.seq)])

    def beat(self, unpublished: float) -> None:
        """Let the replicas know that somebody learns, and how far behind the log it is.

        Parameters
        ----------
        unpublished
            Age of the oldest event that no published state holds, seconds.
        """
        oldest = (
            "(SELECT arrived FROM inbox WHERE NOT waiting AND refused IS NULL ORDER BY id LIMIT 1)"
        )
        behind = f"greatest(%s::float8, extract(epoch FROM clock_timestamp() - {oldest}))"
        with self.transaction() as db:
            db.execute(
                f"INSERT INTO pulse (at, behind) VALUES (clock_timestamp(), {behind})"
                " ON CONFLICT (single) DO UPDATE SET at = EXCLUDED.at, behind = EXCLUDED.behind",
                [unpublished],
            )

    def api_keys(self) -> list[ApiKey]:
        """Return every API key."""
        return [of_row(row) for row in self.rows(SELECT_KEYS)]


def _item(row: Sequence[Any]) -> Item:
    id_, replica, number, version, body = row
    return Item(id_, replica, number, unpack(number, version, body))
