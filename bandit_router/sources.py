"""How far the word of each source of feedback can be relied on, from what it has said so far."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np

_HELD = 256
_DOUBT = 2.0  # information, sum of squared expectations, behind the belief that a source is sound
_NOISE = 0.25  # variance of a reward
_LEAST = 0.05

Sums = tuple[float, float, float, float, float]
"""Of expectations x and rewards y: count, x, y, x squared, x y."""

_NONE: Sums = (0.0, 0.0, 0.0, 0.0, 0.0)


class Sources:
    """Every source's reliability: how much of the expected differences its rewards reproduce.

    A source's rewards are regressed on the qualities that the router had expected of the arms
    they are about. The slope is 1 for a source that sees quality, 0.8 for one that gets one in
    ten wrong, 0 for one that says the same of everything or tosses a coin, negative for one that
    turns it round. What counts is the slope beside that of the best source: if the world
    moves, all slopes fall together and nobody loses trust. Alone, a source is always believed, and
    beside others until it is a standard error worse than the best.

    A source that is generous or strict by the same amount throughout has slope 1; one whose
    rewards stay close together has less. More than 1 is not more reliable than 1.

    References
    ----------
    Dawid and Skene (1979), Maximum likelihood estimation of observer error-rates; the regression
    slope is the reliability coefficient of classical test theory (Lord and Novick, 1968).

    Examples
    --------
    >>> sources = Sources()
    >>> for i in range(2000):
    ...     expected = (i % 2) * 0.4 + 0.3
    ...     sources.heard("test", float(i % 10 < (7 if i % 2 else 3)), expected)
    ...     sources.heard("bot", float(i % 4 < 2), expected)
    >>> sources.reliability("test"), sources.reliability("bot") < 0.5
    (1.0, True)
    """

    def __init__(self) -> None:
        self._sums: OrderedDict[str, Sums] = OrderedDict()

    def heard(self, source: str, reward: float, expected: float, sign: float = 1.0) -> None:
        """Fold a reward and what had been expected of the arm; a `sign` of -1 takes it back."""
        n, x, y, xx, xy = self._sums.get(source, _NONE)
        self._sums[source] = (
            n + sign,
            x + sign * expected,
            y + sign * reward,
            xx + sign * expected**2,
            xy + sign * (expected * reward),
        )
        if len(self._sums) > 1:
            self._sums.move_to_end(source)
            if len(self._sums) > _HELD:
                self._sums.popitem(last=False)

    def reliability(self, source: str) -> float:
        """Return what the word of a source counts, in [0.05, 1]."""
        if len(self._sums) < 2 or source not in self._sums:
            return 1.0
        slopes = [_slope(sums) for sums in self._sums.values()]
        best = min(1.0, max(slope - error for slope, error in slopes))
        slope, error = _slope(self._sums[source])
        return min(1.0, max(_LEAST, (slope + error) / max(best, _LEAST)))

    def all(self) -> dict[str, float]:
        """Return the reliability of every source."""
        return {source: self.reliability(source) for source in sorted(self._sums)}

    def state(self) -> list[list[Any]]:
        """Return the sums, the source heard longest ago first."""
        return [[source, np.array(sums)] for source, sums in self._sums.items()]

    def load(self, state: list[Any]) -> None:
        """Take over what `state` returned."""
        self._sums = OrderedDict((source, tuple(sums.tolist())) for source, sums in state)


def _slope(sums: Sums) -> tuple[float, float]:
    """Return the posterior mean of a source's slope, and its standard error."""
    n, x, y, xx, xy = sums
    n = max(n, 1e-9)
    size = _DOUBT + max(xx - x * x / n, 0.0)
    slope = (_DOUBT + xy - x * y / n) / size
    return slope, math.sqrt(_NOISE / size)
