"""What API keys may still spend, with what is under way for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from ..accounts import DAY, Accounts
from ..store.keys import ApiKey
from .errors import Refused


class Purse:
    """Refuses requests of keys that have spent their budgets.

    A decision is charged as it is made, with what it is expected to cost. A request that names
    its model is no decision and is billed at its end: until then its expected cost is held here.
    """

    def __init__(self) -> None:
        self._held: dict[str, float] = {}

    def check(self, key: ApiKey, accounts: Accounts, now: float) -> None:
        """Refuse a request of a key that has spent a budget, or may have by what is under way."""
        held = self._held.get(key.id, 0.0)
        if accounts.exhausted(key.id, now, held) is None:
            return
        spent = accounts.exhausted(key.id, now)
        if spent == "total":
            raise Refused(403, f"{key.name!r} has spent its budget of {key.usd_total:g} USD")
        if spent == "day":
            raise Refused(
                429,
                f"{key.name!r} has spent its {key.usd_per_day:g} USD of today (UTC)",
                headers={"Retry-After": str(math.ceil(DAY - now % DAY))},
            )
        raise Refused(
            429,
            f"what {key.name!r} has under way may use up its budget: wait for those answers",
            headers={"Retry-After": "1"},
        )

    @contextmanager
    def holding(self, key: str, usd: float) -> Iterator[None]:
        """Count `usd` as spent meanwhile."""
        self._held[key] = self._held.get(key, 0.0) + usd
        try:
            yield
        finally:
            left = self._held.pop(key) - usd
            if left > 1e-12:  # the last to end leaves nothing, whatever was rounded
                self._held[key] = left
