"""What was observed in each cluster of one level, as rows of one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .belief import Array
from .credit import NOTHING, ROWS, W, settled

_FEW = 16
_EMPTY = 0  # a row that stays zero


class Cells:
    """Sums of evidence per (cluster, arm), and the mean place of the prompts behind them.

    Everything is a sum, so taking evidence back and merging clusters are exact.
    """

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self._sums = np.zeros((_FEW, ROWS, 0))
        self._place = np.zeros((_FEW, 1))  # weighted sum of places, then the weight

    def __len__(self) -> int:
        return len(self._row)

    def add_arm(self) -> None:
        """Make room for one arm more."""
        self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, 1)))

    def add(self, id_: int, arm: int, sums: Array, z: Array) -> None:
        """Add the `sums` of a credit to an arm in a cluster, for a prompt at `z`."""
        row = self._row.get(id_)
        if row is None:
            row = self._new(id_)
        self._sums[row, :, arm] += sums
        settled(self._sums[row, :, arm])
        if sums[W]:
            if self._place.shape[1] != len(z) + 1:
                self._place = np.zeros((len(self._place), len(z) + 1))
            self._place[row, :-1] += sums[W] * z
            self._place[row, -1] += sums[W]
            if self._place[row, -1] < NOTHING:
                self._place[row] = 0.0

    def look(self, ids: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return what each of some clusters holds; zeros where there is no evidence.

        Returns
        -------
        tuple
            Sums, shape (n, `ROWS`, arms); weighted sums of places and weights, shape
            (n, dimension + 1).
        """
        get = self._row.get
        rows = [get(id_, _EMPTY) for id_ in ids.tolist()]
        return self._sums[rows], self._place[rows]

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
            self._sums[other] += self._sums[row]
            self._place[other] += self._place[row]
        self._drop(id_)

    def evidence(self, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        row = self._row.get(id_)
        out: Array = np.zeros(self._sums.shape[2]) if row is None else self._sums[row, W].copy()
        return out

    def inside(self, id_: int) -> Array | None:
        """Return the sums of one cluster, shape (`ROWS`, arms), or None without evidence."""
        row = self._row.get(id_)
        return None if row is None else self._sums[row].copy()

    def of_arm(self, arm: int) -> Array:
        """Return the sums of one arm, shape (clusters, `ROWS`), as a view that may be written."""
        return self._sums[1 : len(self._row) + 1, :, arm]

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        ids = sorted(self._row)
        rows = [self._row[id_] for id_ in ids]
        return {"ids": ids, "sums": self._sums[rows], "place": self._place[rows]}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._row = {id_: row for row, id_ in enumerate(state["ids"], start=1)}
        self._sums, self._place = (
            np.pad(state[key], ((1, _FEW), *[(0, 0)] * (state[key].ndim - 1)))
            for key in ("sums", "place")
        )

    def _new(self, id_: int) -> int:
        row = len(self._row) + 1
        if row == len(self._sums):
            self._sums, self._place = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self._sums, self._place)
            )
        self._row[id_] = row
        return row

    def _drop(self, id_: int) -> None:
        """Forget a cluster; the last row takes its place."""
        row, last = self._row.pop(id_), len(self._row) + 1
        if row != last:
            moved = next(i for i, r in self._row.items() if r == last)
            self._row[moved] = row
            self._sums[row], self._place[row] = self._sums[last], self._place[last]
        self._sums[last], self._place[last] = 0.0, 0.0
