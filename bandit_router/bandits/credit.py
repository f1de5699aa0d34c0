"""What one decision has taught: the sums that it adds to the arm that is credited."""

from __future__ import annotations

from collections.abc import Sequence
from operator import neg, sub

import msgspec

from ..compiled import compiled
from .belief import Array

W, R, R2, CN, C, C2, LN, L, L2 = range(9)
"""Rows of the sums: weight, reward, reward squared (both times weight); then count, sum and sum
of squares of cost (US dollars) and of latency (milliseconds)."""

ROWS = 9
Sums = tuple[float, ...]
"""Of one credit, nine of them: plain numbers, of which few ever go into an array."""

_NONE: Sums = (0.0,) * ROWS
_UNKNOWN: Sums = (0.0, 0.0, 0.0)
NOTHING = 1e-9
"""A weight of evidence below this is none."""


@compiled
def added(held: Array, sums: Sums) -> bool:
    """Add the `sums` of a credit to those that an arm holds; in place. See `settled`."""
    for i in range(len(sums)):
        held[i] += sums[i]
    return settled(held)


@compiled
def settled(sums: Array) -> bool:
    """Let sums of one arm, shape (9,), hold no less than nothing; in place. Tell if they did.

    More can be taken back than was held, after evidence was scaled down because an arm changed,
    or from a policy that was not there when it came.
    """
    sound = True
    for first in (W, CN, LN):
        if sums[first] < NOTHING:
            for i in range(first, first + 3):
                sound = sound and (first != W or sums[i] == 0.0)
                sums[i] = 0.0
    slack = 1e-6 * sums[W]
    for row in (R, R2):  # no reward is above 1, and its square not above itself
        most = sums[row - 1]
        if not -slack <= sums[row] <= most + slack:
            sums[row] = min(max(sums[row], 0.0), most)
            sound = False
    return sound


class Credit(msgspec.Struct, frozen=True, gc=False):
    """What one decision has taught so far: the sums that it adds to its arm.

    `sums` has shape (9,): weight, reward, reward squared (both times weight); then count, sum
    and sum of squares of cost (US dollars) and of latency (milliseconds).
    """

    arm: str
    sums: Sums

    def cost(self, otherwise: float) -> float:
        """Return the observed cost, or what is given if none was observed."""
        return self.sums[C] / self.sums[CN] if self.sums[CN] else otherwise

    def until(self, new: Credit) -> list[tuple[str, Sums]]:
        """Return what there is to add to each arm so that this credit becomes a `new` one."""
        if self.sums is _NONE and self.arm == new.arm:
            return [(new.arm, new.sums)]
        if self.arm == new.arm:
            return [(new.arm, tuple(map(sub, new.sums, self.sums)))]
        return [(self.arm, tuple(map(neg, self.sums))), (new.arm, new.sums)]


def nothing(arm: str) -> Credit:
    """Return the credit of a decision of which nothing was heard."""
    return Credit(arm, _NONE)


def credit(
    arm: str,
    rewards: Sequence[tuple[float, float]],
    cost_usd: float | None,
    latency_ms: float | None,
    trust: tuple[float, float] = (1.0, 1.0),
) -> Credit:
    """Return the credit of `(weight, reward)` pairs and the observed cost and latency.

    `trust` is what that cost and that latency count.
    """
    weight = reward = square = 0.0
    for counts, value in rewards:
        weight += counts
        reward += counts * value
        square += counts * value * value
    bills = _UNKNOWN if cost_usd is None else _powers(trust[0], cost_usd)
    latencies = _UNKNOWN if latency_ms is None else _powers(trust[1], latency_ms)
    return Credit(arm, (weight, reward, square, *bills, *latencies))


def _powers(weight: float, value: float) -> Sums:
    return weight, weight * value, weight * (value * value)
