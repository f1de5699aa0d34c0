"""What each API key has spent, and the pacers of those with a budget a day."""

from __future__ import annotations

from typing import Any

import msgspec

from .bandits.pacing import BudgetPacer, make_pacer
from .memory import expected_cost
from .types import Decision

DAY = 86_400.0


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the log knows of an API key: whether it gives feedback, and its budgets."""

    feedback: bool = False
    usd_per_day: float | None = None
    usd_total: float | None = None
    paced: bool = True


class Accounts:
    """The keys there are and what each has spent; `decided` charges, `spent` corrects.

    A decision is charged with its expected cost at once; when its actual cost comes the
    difference is booked on the day of the decision (UTC).
    """

    def __init__(self) -> None:
        self.terms: dict[str, Terms] = {}
        self._pacers: dict[str, BudgetPacer] = {}
        self._spent: dict[str, list[float]] = {}  # total, day, of that day

    def agree(self, terms: dict[str, Terms]) -> None:
        """Take the keys there are from now on; what was spent stays."""
        for key in self._pacers.keys() - terms.keys():
            del self._pacers[key]
        for key, new in terms.items():
            ceiling = new.usd_per_day if new.paced else None
            old = self.terms.get(key)
            if old is not None and ceiling == (old.usd_per_day if old.paced else None):
                continue
            before, made = self._pacers.pop(key, None), make_pacer(None, ceiling)
            if made is not None:
                if before is not None:
                    made.follow(before)
                self._pacers[key] = made
        self.terms = dict(terms)

    def pacer(self, key: str) -> BudgetPacer | None:
        """Return what paces a key's spending, if its budget does."""
        return self._pacers.get(key)

    def exhausted(self, key: str, time: float, pending_usd: float = 0.0) -> str | None:
        """Return ``day`` or ``total`` if a key has spent that budget, else None.

        `pending_usd` is what it may have spent by requests under way that are no decisions.
        """
        terms = self.terms.get(key)
        if terms is None:
            return None
        if terms.usd_total is not None and self.total(key) + pending_usd >= terms.usd_total:
            return "total"
        if terms.usd_per_day is not None and (
            self.today(key, time) + pending_usd >= terms.usd_per_day
        ):
            return "day"
        return None

    def total(self, key: str) -> float:
        """Return what a key has spent, US dollars."""
        return self._spent.get(key, [0.0])[0]

    def today(self, key: str, time: float) -> float:
        """Return what a key has spent on the day (UTC) of `time`, US dollars."""
        _, day, today = self._spent.get(key, [0.0, -1.0, 0.0])
        return today if day >= time // DAY else 0.0

    def decided(self, decision: Decision) -> None:
        """Charge a decision with its expected cost."""
        key = decision.request.key
        if key is None:
            return
        pacer, usd = self._pacers.get(key), expected_cost(decision)
        if pacer is not None:
            pacer.decided(decision.candidates, usd, decision.time)
        self._book(key, usd, decision.time)

    def spent(self, key: str | None, difference_usd: float, time: float) -> None:
        """Book what a request at `time` came to beyond what was charged."""
        if key is None:
            return
        if pacer := self._pacers.get(key):
            pacer.spent(difference_usd, time)
        self._book(key, difference_usd, time)

    def state(self) -> dict[str, Any]:
        """Return the state."""
        return {
            "terms": msgspec.to_builtins(self.terms),
            "pacers": {key: pacer.state() for key, pacer in self._pacers.items()},
            "spent": {key: list(sums) for key, sums in self._spent.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.agree(msgspec.convert(state["terms"], dict[str, Terms]))
        for key, pacer in state["pacers"].items():
            self._pacers[key].load(pacer)
        self._spent = {key: list(sums) for key, sums in state["spent"].items()}

    def _book(self, key: str, usd: float, time: float) -> None:
        sums = self._spent.setdefault(key, [0.0, -1.0, 0.0])
        sums[0] += usd
        day = time // DAY
        if day > sums[1]:
            sums[1:] = [day, 0.0]
        if day == sums[1]:
            sums[2] += usd
