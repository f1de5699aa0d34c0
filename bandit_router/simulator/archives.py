"""Archives of a database of ours, read part by part: decisions, and what was said of them later.

Feedback may come long after its decision. It is gathered first, in a temporary database of SQLite's
own, on disk where it does not fit into memory; decisions are then read as they come, and what was
said of each is looked up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence

import msgspec

from .. import codec
from ..config import FeedbackSettings, Settings
from ..exceptions import InvalidInput, StoreError
from ..memory import with_event
from ..types import Change, Decision, Feedback, History, Outcome
from .columns import Columns, of_rows
from .logs import Logged, of_history
from .partitions import Partitions
from .passes import SHADOW

_ROWS = 1_000  # of a part


class Archive:
    """What `compact --archive` wrote, a file or a folder; see `survey.Source`.

    Parameters
    ----------
    policies
        Only decisions that every shadow among them was asked about are read.

    Raises
    ------
    InvalidInput
        If a file turns out to be damaged, here or later.
    """

    def __init__(self, log: Partitions, policies: Sequence[str] = ()) -> None:
        self._log = log
        self.path, self.rows = log.path, log.rows
        self._shadows = [n.removeprefix(SHADOW) for n in policies if n.startswith(SHADOW)]
        self._settings = FeedbackSettings()
        self._said = sqlite3.connect("")
        try:
            self._said.execute("CREATE TABLE said (decision_id TEXT, body BLOB)")
            self._said.executemany("INSERT INTO said VALUES (?, ?)", self._gathered())
            self._said.execute("CREATE INDEX said_of ON said (decision_id)")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Forget what was gathered."""
        self._said.close()

    def _gathered(self) -> Iterator[tuple[str, bytes]]:
        for event in self._log.events(without="decision"):
            if isinstance(event, Change) and event.what == "configured":
                self._settings = msgspec.convert(event.body["settings"], Settings).feedback
            elif isinstance(event, Feedback | Outcome):
                yield event.decision_id, codec.encode_event(event)

    def columns(self) -> Iterator[Columns]:
        """Yield its decisions, some thousand at a time.

        Raises
        ------
        StoreError
            If there is none.
        InvalidInput
            If a shadow was never asked.
        """
        rows: list[Logged] = []
        asked: dict[str, None] = {}
        decisions = 0
        for event in self._log.events():
            if not isinstance(event, Decision):
                continue
            decisions += 1
            if (row := self._row(event)) is None:
                continue
            asked |= dict.fromkeys(row.shadows)
            if all(name in row.shadows for name in self._shadows):
                rows.append(row)
            if len(rows) == _ROWS:
                yield of_rows(rows)
                rows = []
        if not decisions:
            raise StoreError(f"{self.path} holds no decision yet")
        check_shadows(self._shadows, asked)
        yield of_rows(rows)

    def _row(self, decision: Decision) -> Logged | None:
        """Return a decision and what became of it; None where another model answered."""
        history = History(decision=decision)
        sql = "SELECT body FROM said WHERE decision_id = ? ORDER BY rowid"
        for (body,) in self._said.execute(sql, [decision.decision_id]):
            history = with_event(history, codec.decode_event(body))  # type: ignore[arg-type]
        if history.answered_by != decision.model:
            return None
        return of_history(history, self._settings)


def check_shadows(wanted: Collection[str], asked: Collection[str]) -> None:
    """Refuse a shadow that was never asked."""
    for strategy in wanted:
        if strategy not in asked:
            there = f"there are {', '.join(asked)}" if asked else "it is no log of our service"
            raise InvalidInput(f"no shadow {strategy!r} in this log; {there}", "policy")
