"""Keeping the mean cost of a request at a ceiling: a primal-dual pacer on actual spend.

The cost weight is the price of a dollar: the dual variable of *maximise quality, subject to a
mean cost of at most B*. Instead of creeping towards it by gradient steps, the pacer solves for
it on the recent decisions: the smallest weight at which the arms of the highest utility would
have cost, on average, no more than what may now be spent on a request.

References
----------
Agrawal and Devanur (2014), Bandits with concave rewards and convex knapsacks; Balseiro and
Gur (2019), Learning in repeated auctions with budgets; Taberner-Miller (2026), ParetoBandit,
arXiv 2604.00136.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..types import Candidate
from .belief import Array

_WINDOW = 256
_HORIZON = 300.0
_SAFETY = 0.985
_EVERY = 5
_CREDIT = 0.003
_DEARER = 3.0
_STAKE = 0.5  # of the savings that one request may be expected to take
_UP, _DOWN = 0.5, 0.02  # an overdraft is answered at once, savings with patience
_FREE, _DEAR = 1e-4, 1.0  # bounds of the price, in units of one over the ceiling
_DAY = 86_400.0
_HOUR, _HOURS = 3_600.0, 24
_OF_YESTERDAY = 0.5  # of the running mean over days
_OF_DAY = 0.01  # of a day's budget that one request may cost, however many are coming
_USUAL_WEIGHT = 20.0  # requests
_LEAST_SPAN = 60.0  # seconds
_LEAST_CEILING = 1e-12


class BudgetPacer:
    """Finds the cost weight that keeps spending at a ceiling.

    Parameters
    ----------
    ceiling_usd
        Mean cost of a request, US dollars.

    Attributes
    ----------
    price
        What a dollar costs now, in units of utility.
    balance_usd
        What the ceiling has allowed so far, less what was spent.

    Notes
    -----
    A decision is charged with its expected cost at once, so that requests that never get
    feedback count; when the actual cost comes, early or late, only the difference is booked.
    What may be spent on the next request is the ceiling plus a share of the balance: an
    overdraft is worked off over `_HORIZON` requests, and savings are spent as slowly.
    """

    def __init__(self, ceiling_usd: float) -> None:
        self.ceiling_usd = ceiling_usd
        self.price = 0.0
        self.balance_usd = 0.0
        self._requests = 0
        self._solved = 0
        self._arms: list[str] = []
        self._quality = np.zeros((0, 0))
        self._cost = np.zeros((0, 0))

    def decided(
        self, candidates: Sequence[Candidate], charged_usd: float, time: float = 0.0
    ) -> None:
        """Fold a decision.

        Parameters
        ----------
        candidates
            What was expected of each eligible arm.
        charged_usd
            Expected cost of the chosen arm.
        time
            Seconds; only a daily ceiling asks for it.
        """
        self._requests += 1
        self.balance_usd += _SAFETY * self.ceiling_usd - charged_usd
        known = {c.model: c for c in candidates if c.quality is not None and c.cost_usd is not None}
        self._arms += [name for name in known if name not in self._arms]
        self._quality = self._remember(
            self._quality, [_of(known, a, "quality") for a in self._arms]
        )
        self._cost = self._remember(self._cost, [_of(known, a, "cost_usd") for a in self._arms])
        if self._requests % _EVERY == 0 or self._requests < _WINDOW // 4:
            self._move(self._solve())

    def limit_usd(self, time: float = 0.0) -> float:
        """Return the most that a request at `time` may be expected to cost.

        Up to three times the ceiling is left to the price. A dearer arm is tried when twice
        what it costs beyond has been saved, since a dear arm's bills vary most (one of 16 times
        its mean was seen); the pacer's own credit is 0.3 % of what the ceiling allowed.
        """
        credit = _CREDIT * self.ceiling_usd * self._requests
        return _DEARER * self.ceiling_usd + _STAKE * max(0.0, self.balance_usd + credit)

    def spent(self, difference_usd: float, time: float = 0.0) -> None:
        """Fold what an actual cost came to beyond what was charged, for a decision at `time`."""
        self.balance_usd -= difference_usd

    def follow(self, other: BudgetPacer) -> None:
        """Take over what a pacer of other ceilings has seen, but not its balance."""
        mine = self.state()
        seen = {key: other.state()[key] for key in ("price", "solved", "arms", "quality", "cost")}
        self.load({**mine, **seen})

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "ceiling_usd": self.ceiling_usd,
            "price": self.price,
            "balance_usd": self.balance_usd,
            "requests": self._requests,
            "solved": self._solved,
            "arms": list(self._arms),
            "quality": self._quality,
            "cost": self._cost,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.ceiling_usd = state["ceiling_usd"]
        self.price = state["price"]
        self.balance_usd = state["balance_usd"]
        self._requests = state["requests"]
        self._solved = state["solved"]
        self._arms = list(state["arms"])
        self._quality, self._cost = state["quality"], state["cost"]

    def _remember(self, rows: Array, row: list[float]) -> Array:
        added = len(row) - rows.shape[1]
        rows = np.pad(rows, ((0, 0), (0, added)), constant_values=np.nan)
        return np.concatenate([rows[-(_WINDOW - 1) :], np.array(row).reshape(1, -1)])

    def _solve(self) -> float:
        """Return the smallest price at which the window would have cost what may be spent."""
        if not self._arms:
            return 0.0
        share = min(_HORIZON, self._requests + 20.0)
        allowed = self.ceiling_usd * _SAFETY + self.balance_usd / share
        if self._would_cost(0.0) <= allowed:
            return 0.0
        low, high = 0.0, _DEAR / self.ceiling_usd
        if self._would_cost(high) > allowed:  # even the cheapest arms cost more
            return high
        for _ in range(20):
            middle = 0.5 * (low + high)
            if self._would_cost(middle) > allowed:
                low = middle
            else:
                high = middle
        return high

    def _move(self, solved: float) -> None:
        """Go part of the way to a solved price, in proportion.

        Between two arms far apart in cost a whole range of prices gives the same choices and
        the solution jumps from end to end; the way between keeps to the middle of the range.
        """
        self._solved += 1
        rate = max(_UP if solved > self.price else _DOWN, 1.0 / self._solved)
        least = _FREE / self.ceiling_usd
        before, after = (np.log(max(price, least)) for price in (self.price, solved))
        self.price = float(np.exp(before + rate * (after - before)))

    def _would_cost(self, price: float) -> float:
        utility = self._quality - price * self._cost
        chosen = np.where(np.isnan(utility), -np.inf, utility).argmax(axis=1)
        cost = self._cost[np.arange(len(chosen)), chosen]
        return float(np.where(np.isnan(cost), 0.0, cost).mean())


class DayPacer(BudgetPacer):
    """Keeps a day (UTC) at a ceiling, and the mean request too if that is asked for.

    What is left of the day's budget is spread over the requests that the day is expected to bring
    yet: that is the ceiling of the next request. Expected is what the days before brought in the
    hours to come, scaled by how today compares so far; on the first day, that it goes on as it
    has begun.

    Parameters
    ----------
    usd_per_day
        US dollars from midnight to midnight.
    usd_per_request
        Mean cost of a request, US dollars; None: only the day counts.

    Attributes
    ----------
    spent_usd
        What the day has cost so far.
    """

    def __init__(self, usd_per_day: float, usd_per_request: float | None = None) -> None:
        super().__init__(usd_per_day)
        self._per_day, self._per_request = usd_per_day, usd_per_request
        self.spent_usd = 0.0
        self._day = -1
        self._began = 0.0  # the first request of today, seconds
        self._usual = np.zeros(0)  # requests in each hour of a day, a running mean over days
        self._today = np.zeros(_HOURS)

    def decided(
        self, candidates: Sequence[Candidate], charged_usd: float, time: float = 0.0
    ) -> None:
        """Fold a decision; see `BudgetPacer`."""
        self._enter(time)
        self._today[int(time % _DAY // _HOUR)] += 1.0
        self.spent_usd += charged_usd
        super().decided(candidates, charged_usd, time)
        left = max(self._per_day - self.spent_usd, 0.0)
        self.ceiling_usd = max(left / max(self._coming(time), 1.0), _LEAST_CEILING)
        if self._per_request is not None and self._per_request <= self.ceiling_usd:
            self.ceiling_usd = self._per_request
        else:
            self.balance_usd = 0.0  # what was spent is in what is left

    def spent(self, difference_usd: float, time: float = 0.0) -> None:
        """Fold what an actual cost came to beyond what was charged, for a decision at `time`."""
        super().spent(difference_usd, time)
        if int(time // _DAY) == self._day:
            self.spent_usd += difference_usd

    def limit_usd(self, time: float = 0.0) -> float:
        """Return the most that a request at `time` may cost: no more than the day has left."""
        today = self.spent_usd if int(time // _DAY) <= self._day else 0.0
        most = max(_DEARER * self.ceiling_usd, _OF_DAY * self._per_day)
        return min(most, max(self._per_day - today, 0.0))

    def follow(self, other: BudgetPacer) -> None:
        """Take over what a pacer of other ceilings has seen, and what today has cost."""
        super().follow(other)
        if isinstance(other, DayPacer):
            self.load({**self.state(), **other._of_today()})

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {**super().state(), **self._of_today()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load(state)
        self.spent_usd, self._day, self._began = (state[k] for k in ("spent_usd", "day", "began"))
        self._usual, self._today = state["usual"], state["today"].copy()

    def _of_today(self) -> dict[str, Any]:
        return {
            "spent_usd": self.spent_usd,
            "day": self._day,
            "began": self._began,
            "usual": self._usual,
            "today": self._today,
        }

    def _enter(self, time: float) -> None:
        day = int(time // _DAY)
        if day <= self._day:
            return
        if self._day >= 0:
            before = self._usual if len(self._usual) else self._today
            self._usual = before + _OF_YESTERDAY * (self._today - before)
        self._day, self._began, self.spent_usd = day, time, 0.0
        self._today = np.zeros(_HOURS)

    def _coming(self, time: float) -> float:
        """Return how many requests the rest of the day is expected to bring."""
        gone = time % _DAY
        so_far = float(self._today.sum())
        if not len(self._usual):
            return so_far / max(time - self._began, _LEAST_SPAN) * (_DAY - gone)
        hour = int(gone // _HOUR)
        part = gone / _HOUR - hour
        usual = float(self._usual[:hour].sum() + part * self._usual[hour])
        rest = float(self._usual.sum()) - usual
        busier = (so_far + _USUAL_WEIGHT) / (usual + _USUAL_WEIGHT)
        return rest * min(max(busier, 0.25), 4.0)


def make_pacer(usd_per_request: float | None, usd_per_day: float | None) -> BudgetPacer | None:
    """Return the pacer of these ceilings, or None if there is none."""
    if usd_per_day is not None:
        return DayPacer(usd_per_day, usd_per_request)
    return None if usd_per_request is None else BudgetPacer(usd_per_request)


def _of(candidates: dict[str, Candidate], arm: str, field: str) -> float:
    found = candidates.get(arm)
    return float("nan") if found is None else float(getattr(found, field))
