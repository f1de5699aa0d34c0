"""When the map itself moves: River's Page-Hinkley test watches each region's share of prompts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..page_hinkley import PageHinkley, numbers, restore

BLOCK = 100
"""Prompts over which shares are counted."""

_LEAST = 10
_SLACK = 0.5
_PATIENCE = 12.0
_RECENT = 0.25


class Region:
    """The share of one region, block by block.

    A share ``p`` of ``n`` prompts is watched as ``2 sqrt(n) asin(sqrt(p))``, whose standard
    deviation is 1 whatever the share; moves below half of that are left alone. A region of 3 %
    that doubles is told after some 15 blocks, one that empties after about 5.
    """

    def __init__(self) -> None:
        self._test = PageHinkley(min_instances=_LEAST, delta=_SLACK, threshold=_PATIENCE)
        self._sum = 0.0
        self._recent = 0.0

    def update(self, share: float) -> tuple[float, float] | None:
        """Fold the share of one block; return (before, now) if it has moved, else None."""
        known = float(self._test._x_mean.n)
        before = self._sum / known if known else share
        self._recent = self._recent + _RECENT * (share - self._recent) if known else share
        self._sum += share
        if not self._test.update(2.0 * math.sqrt(BLOCK) * math.asin(math.sqrt(share))):
            return None
        now = self._recent
        self.__init__()  # type: ignore[misc]
        return before, now

    def state(self) -> list[float]:
        """Return the state as numbers."""
        return [self._sum, self._recent, *numbers(self._test)]

    def load(self, state: list[float]) -> None:
        """Take over what `state` returned."""
        self._sum, self._recent = state[:2]
        restore(self._test, state[2:])


class ShareWatch:
    """The shares of all regions."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._seen = 0
        self._regions: dict[int, Region] = {}

    @property
    def seen(self) -> int:
        """Prompts of the block so far."""
        return self._seen

    def count(self, region: int | None) -> bool:
        """Count a prompt; tell whether a block is full, so that `moves` must be asked."""
        self._seen += 1
        if region is not None:
            self._counts[region] = self._counts.get(region, 0) + 1
        return self._seen >= BLOCK

    def moves(self, alive: Iterable[int]) -> list[tuple[int, float, float]]:
        """Close the block; return (region, share before, share now) of those that have moved."""
        told = []
        self._regions = {id_: self._regions.get(id_) or Region() for id_ in sorted(alive)}
        for id_, region in self._regions.items():
            moved = region.update(self._counts.get(id_, 0) / self._seen)
            if moved is not None:
                told.append((id_, *moved))
        self._counts, self._seen = {}, 0
        return told

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        counts = sorted(self._counts.items())
        return {
            "seen": self._seen,
            "counts": np.array(counts, dtype=np.int64).reshape(-1, 2),
            "ids": np.array(sorted(self._regions), dtype=np.int64),
            "regions": np.array(
                [self._regions[id_].state() for id_ in sorted(self._regions)]
            ).reshape(-1, 8),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._seen, self._counts = state["seen"], dict(state["counts"].tolist())
        self._regions = {}
        for id_, saved in zip(state["ids"].tolist(), state["regions"].tolist(), strict=True):
            self._regions[id_] = Region()
            self._regions[id_].load(saved)
