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


PageHinkley: Any = _class()
"""`river.drift.PageHinkley`."""


def numbers(test: Any) -> list[float]:
    """Return the state of a test."""
    sums = (test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease)
    return [float(test._x_mean.n), float(test._x_mean.get()), *map(float, sums)]


def restore(test: Any, state: list[float]) -> None:
    """Take over what `numbers` returned."""
    n, mean, test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease = state
    test._x_mean = Mean._from_state(n, mean)
