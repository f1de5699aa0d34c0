"""Events as JSON, one a line: what `export --events` writes, read back into a new log."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..exceptions import BanditRouterError, InvalidInput, StoreError
from ..router import Router
from ..types import Change, Decision, Event, Feedback, LineageEvent, Outcome
from .base import Log

MAX_LINE = 256_000_000
"""Bytes: what a policy was trained on is one event, and may be long."""
_BATCH = 500
_NO_EVENT = (
    msgspec.MsgspecError, BanditRouterError, LookupError, ValueError, TypeError, AttributeError,
    ArithmeticError, AssertionError, RecursionError,
)  # fmt: skip
"""What reading and folding an event ends in that is none, or not the next one."""
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Decision | Outcome | Feedback | Change)


def import_events(lines: Iterable[bytes], store: Log) -> int:
    """Write the events of an export to an empty log; return how many.

    Every event is folded on the way, so that what the log holds has been proved to fold, and
    what became of clusters is written too.

    Raises
    ------
    StoreError
        If the log holds events already.
    InvalidInput
        With the number of the first line that is no event, or not the next one.
    """
    if store.last_seq():
        raise StoreError("the database holds events already: import into a new one")
    router: Router | None = None
    batch: list[Event] = []
    lineage: list[LineageEvent] = []
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > MAX_LINE:
            raise InvalidInput(f"line {number}: longer than {MAX_LINE:,} bytes", "events")
        try:
            event = _decoder.decode(line)
            if router is None:
                router = Router.restore([event], recall=store.recall)
            else:
                lineage += router.apply(event)
        except _NO_EVENT as error:
            raise InvalidInput(f"line {number}: {error}", "events") from None
        batch.append(event)
        count += 1
        if len(batch) == _BATCH:
            store.append(batch, lineage)
            batch, lineage = [], []
    if not count:
        raise InvalidInput("there are no events to import", "events")
    if batch:
        store.append(batch, lineage)
    return count
