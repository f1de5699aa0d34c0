"""What was observed in each cluster of the map, as rows of one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from .belief import Array
from .credit import NOTHING, ROWS, W, settled

_FEW = 16
_EMPTY = 0  # a row that stays zero


class Cells:
    """Sums of evidence per (cluster, arm), and the mean place of the prompts behind them.

    Everything is a sum, so taking evidence back and merging clusters are exact.

    Attributes
    ----------
    sums
        Shape (rows, `ROWS`, arms); see `rows`.
    places
        Weighted sums of places, then the weight, shape (rows, dimension + 1).
    """

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self.sums = np.zeros((_FEW, ROWS, 0))
        self.places = np.zeros((_FEW, 1))

    def __len__(self) -> int:
        return len(self._row)

    def add_arm(self) -> None:
        """Make room for one arm more."""
        self.sums = np.pad(self.sums, ((0, 0), (0, 0), (0, 1)))

    def add(self, id_: int, arm: int, sums: Array, z: Array) -> None:
        """Add the `sums` of a credit to an arm in a cluster, for a prompt at `z`."""
        row = self._row.get(id_)
        if row is None:
            row = self._new(id_)
        if sums[W] and self.places.shape[1] != len(z) + 1:
            self.places = np.zeros((len(self.places), len(z) + 1))
        _add(self.sums, self.places, row, arm, sums, z)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each of some clusters; one that is all zeros without evidence."""
        get = self._row.get
        return np.array([get(id_, _EMPTY) for id_ in ids.tolist()], np.int64)

    def merge(self, id_: int, heir: int) -> None:
        """Add the evidence of a dead cluster to its heir; 0 drops it."""
        row = self._row.get(id_)
        if row is None:
            return
        if heir:
            other = self._row.get(heir)
            if other is None:
                self._row[heir] = self._row.pop(id_)
                return
            self.sums[other] += self.sums[row]
            self.places[other] += self.places[row]
        self._drop(id_)

    def evidence(self, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        out: Array = self.sums[self._row.get(id_, _EMPTY), W].copy()
        return out

    def inside(self, id_: int) -> Array | None:
        """Return the sums of one cluster, shape (`ROWS`, arms), or None without evidence."""
        row = self._row.get(id_)
        return None if row is None else self.sums[row].copy()

    def of_arm(self, arm: int) -> Array:
        """Return the sums of one arm, shape (clusters, `ROWS`), as a view that may be written."""
        return self.sums[1 : len(self._row) + 1, :, arm]

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        ids = sorted(self._row)
        rows = [self._row[id_] for id_ in ids]
        return {"ids": ids, "sums": self.sums[rows], "place": self.places[rows]}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._row = {id_: row for row, id_ in enumerate(state["ids"], start=1)}
        self.sums, self.places = (
            np.pad(state[key], ((1, _FEW), *[(0, 0)] * (state[key].ndim - 1)))
            for key in ("sums", "place")
        )

    def _new(self, id_: int) -> int:
        row = len(self._row) + 1
        if row == len(self.sums):
            self.sums, self.places = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self.sums, self.places)
            )
        self._row[id_] = row
        return row

    def _drop(self, id_: int) -> None:
        """Forget a cluster; the last row takes its place."""
        row, last = self._row.pop(id_), len(self._row) + 1
        if row != last:
            moved = next(i for i, r in self._row.items() if r == last)
            self._row[moved] = row
            self.sums[row], self.places[row] = self.sums[last], self.places[last]
        self.sums[last], self.places[last] = 0.0, 0.0


@compiled
def _add(cells: Array, places: Array, row: int, arm: int, sums: Array, z: Array) -> None:
    held = cells[row, :, arm]
    for i in range(len(sums)):
        held[i] += sums[i]
    settled(held)
    weight = sums[W]
    if weight:
        for i in range(len(z)):
            places[row, i] += weight * z[i]
        places[row, -1] += weight
        if places[row, -1] < NOTHING:
            places[row] = 0.0
