"""River's Page-Hinkley test alone, with a state of plain numbers.

``import river.drift`` loads example datasets, and scikit-learn and pandas with them: a second
that no import of ours may cost. The module that defines the test needs none of it, so it is
loaded by itself.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import river
from river.stats import Mean


def _class() -> Any:
    assert river.__file__ is not None
    file = Path(river.__file__).parent / "drift" / "page_hinkley.py"
    spec = importlib.util.spec_from_file_location("bandit_router._river_page_hinkley", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PageHinkley


class PageHinkley(_class()):  # type: ignore[misc]
    """`river.drift.PageHinkley` of both sides, which forgets nothing."""

    _drift_detected: bool
    _sum_increase: float
    _sum_decrease: float
    _min_increase: float
    _max_decrease: float

    def __init__(self, min_instances: int, delta: float, threshold: float) -> None:
        super().__init__(min_instances, delta, threshold, alpha=1.0, mode="both")

    def update(self, x: float) -> bool:
        """Fold a number by River's arithmetic; tell whether the mean has moved."""
        if self._drift_detected:
            self._reset()
        mean = self._x_mean
        mean.n += 1.0
        mean._mean += (1.0 / mean.n) * (x - mean._mean)
        apart = x - mean._mean
        self._sum_increase = up = self._sum_increase + apart - self.delta
        self._sum_decrease = down = self._sum_decrease + apart + self.delta
        if up < self._min_increase:
            self._min_increase = up
        if down > self._max_decrease:
            self._max_decrease = down
        if mean.n >= self.min_instances:
            risen, fallen = up - self._min_increase, self._max_decrease - down
            self._drift_detected = risen > self.threshold or fallen > self.threshold
        return self._drift_detected


def numbers(test: Any) -> list[float]:
    """Return the state of a test."""
    sums = (test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease)
    return [float(test._x_mean.n), float(test._x_mean.get()), *map(float, sums)]


def restore(test: Any, state: list[float]) -> None:
    """Take over what `numbers` returned."""
    n, mean, test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease = state
    test._x_mean = Mean._from_state(n, mean)
