"""What was observed in each cluster of the map, as rows of one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compiled import compiled
from .belief import Array, Rows
from .credit import NOTHING, ROWS, Sums, W, added

_FEW = 16


class Cells:
    """Sums of evidence per (cluster, arm), and the mean place of the prompts behind them.

    Everything is a sum, so taking evidence back and merging clusters are exact.

    Attributes
    ----------
    row_of
        The row of each cluster, by its id; 0 of one without evidence. An id beyond has none.
    sums
        Shape (rows, `ROWS`, arms); the first row is all zeros.
    places
        Weighted sums of places, then the weight, shape (rows, dimension + 1).
    handed_over
        Whether these arrays are those that were handed over last, see `Handed`.
    """

    row_of: Rows
    sums: Array
    places: Array
    handed_over: bool

    def __init__(self) -> None:
        self._ids = [0]  # by row; the first row stays zero
        self._rows = {0: 0}  # by id: `row_of` for Python
        self._hold(np.zeros(_FEW, np.int64), np.zeros((_FEW, ROWS, 0)), np.zeros((_FEW, 1)))

    def __len__(self) -> int:
        return len(self._ids) - 1

    def add_arm(self) -> None:
        """Make room for one arm more."""
        self._hold(sums=np.pad(self.sums, ((0, 0), (0, 0), (0, 1))))

    def add(self, id_: int, arm: int, sums: Sums, z: Array) -> None:
        """Add the `sums` of a credit to an arm in a cluster, for a prompt at `z`."""
        self.make_room((id_,), len(z) if sums[W] else None)
        add_to_cell(self.sums, self.places, self._row(id_), arm, sums, z)

    def make_room(self, path: Sequence[int], dimension: int | None) -> None:
        """Have a row for each cluster of a path, and places so long (None: as they are).

        A path through no cluster says nothing of places.
        """
        for id_ in path:
            if id_ not in self._rows:
                self._new(id_)
        if dimension is not None and self.places.shape[1] != dimension + 1 and any(path):
            self._hold(places=np.zeros((len(self.places), dimension + 1)))

    def merge(self, id_: int, heir: int) -> None:
        """Add the evidence of a dead cluster to its heir; 0 drops it."""
        row = self._row(id_)
        if not row:
            return
        if heir:
            other = self._row(heir) or self._new(heir)
            self.sums[other] += self.sums[row]
            self.places[other] += self.places[row]
        self._drop(id_)

    def evidence(self, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        out: Array = self.sums[self._row(id_), W].copy()
        return out

    def inside(self, id_: int) -> Array:
        """Return the sums of one cluster, shape (`ROWS`, arms)."""
        out: Array = self.sums[self._row(id_)].copy()
        return out

    def of_arm(self, arm: int) -> Array:
        """Return the sums of one arm, shape (clusters, `ROWS`), as a view that may be written."""
        return self.sums[1 : len(self._ids), :, arm]

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        ids = sorted(self._ids[1:])
        rows = self.row_of[np.array(ids, np.int64)]
        return {"ids": ids, "sums": self.sums[rows], "place": self.places[rows]}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._ids = [0, *state["ids"]]
        self._rows = {id_: row for row, id_ in enumerate(self._ids)}
        row_of = np.zeros(max(self._ids) + _FEW, np.int64)
        row_of[self._ids] = np.arange(len(self._ids))
        sums, places = (
            np.pad(state[key], ((1, _FEW), *[(0, 0)] * (state[key].ndim - 1)))
            for key in ("sums", "place")
        )
        self._hold(row_of, sums, places)

    def _hold(
        self, row_of: Rows | None = None, sums: Array | None = None, places: Array | None = None
    ) -> None:
        """Put these arrays in the place of those before; None: that one stays."""
        self.row_of = self.row_of if row_of is None else row_of
        self.sums = self.sums if sums is None else sums
        self.places = self.places if places is None else places
        self.handed_over = False

    def _row(self, id_: int) -> int:
        return self._rows.get(id_, 0)

    def _new(self, id_: int) -> int:
        row = len(self._ids)
        if row == len(self.sums):
            larger = [np.concatenate([a, np.zeros_like(a)]) for a in (self.sums, self.places)]
            self._hold(None, *larger)
        if id_ >= len(self.row_of):
            self._hold(np.pad(self.row_of, (0, id_ + 1)))
        self.row_of[id_] = self._rows[id_] = row
        self._ids.append(id_)
        return row

    def _drop(self, id_: int) -> None:
        """Forget a cluster; the last row takes its place."""
        row, last = self._rows.pop(id_), len(self._ids) - 1
        moved = self._ids.pop()
        if row != last:
            self._ids[row] = moved
            self.row_of[moved] = self._rows[moved] = row
            self.sums[row], self.places[row] = self.sums[last], self.places[last]
        self.row_of[id_] = 0
        self.sums[last], self.places[last] = 0.0, 0.0


@compiled
def add_to_cell(cells: Array, places: Array, row: int, arm: int, sums: Sums, z: Array) -> None:
    """Add the `sums` of a credit to an arm in the cluster of a row, for a prompt at `z`."""
    added(cells[row, :, arm], sums)
    weight = sums[W]
    if weight:
        for i in range(len(z)):
            places[row, i] += weight * z[i]
        places[row, -1] += weight
        if places[row, -1] < NOTHING:
            places[row] = 0.0
