"""The matrix of micro-clusters: centres, weights and times in contiguous arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..handed import Handed
from .attract import HANDED, attract, place, rounding
from .nearest import nearest

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_COLUMNS = ("_ids", "_centers", "_rough", "_half", "_weights", "_updated", "_apart", "_dirty")
_FEW = 16
_CHUNK = 256  # rows whose distances to all others are held at once


class CenterMatrix:
    """Live micro-clusters as rows, in ascending order of id.

    A single-precision copy of the centres prunes, with a slack above its rounding; the double
    precision decides. So results do not depend on the copy, only their cost does.

    Parameters
    ----------
    features
        Names of the columns: the keys of River's feature dicts.

    Attributes
    ----------
    ids
        Shape (size,).
    centers
        Shape (size, dimension).
    weights, updated
        Weight when last touched, and that time; shape (size,).
    live
        `ids` and `centers`.
    """

    def __init__(self, features: list[Any]) -> None:
        self.features = features
        self.size = 0
        self._largest = 0.0  # an upper bound of the centres' squared norms
        self._ids = np.empty(_FEW, dtype=np.int64)
        self._centers = np.empty((_FEW, len(features)))
        self._rough = np.empty((_FEW, len(features)), dtype=np.float32)
        self._half = np.empty(_FEW, dtype=np.float32)  # half the squared norms
        self._weights = np.empty(_FEW)
        self._updated = np.empty(_FEW)
        self._apart = np.empty(_FEW)  # a lower bound of the distance to any other row
        self._dirty = np.empty(_FEW, dtype=np.bool_)  # whether that is of another centre than now
        self._near = np.empty(_FEW, dtype=np.int64)  # rows, see `drawn`
        self._hand_over()

    def _hand_over(self) -> None:
        """Let machine code see the arrays of now."""
        columns = (self._centers, self._rough, self._half, self._dirty, self._weights)
        self._handed = Handed((*columns, self._updated, self._near), HANDED)
        self._look()

    def _look(self) -> None:
        """See as many rows as there are now."""
        self.live: tuple[Rows, Array] = self.ids, self.centers

    def __getstate__(self) -> dict[str, Any]:
        """Leave out views: of a copy they would be arrays of their own."""
        views = ("live", "_handed")
        return {name: value for name, value in self.__dict__.items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        self.__dict__.update(state)
        self._hand_over()

    @property
    def ids(self) -> Rows:
        """Ids, ascending."""
        return self._ids[: self.size]

    @property
    def centers(self) -> Array:
        """Centres; alter them through `move` only."""
        return self._centers[: self.size]

    @property
    def weights(self) -> Array:
        """Weights as of `updated`."""
        return self._weights[: self.size]

    @property
    def updated(self) -> Array:
        """Times of the last touch."""
        return self._updated[: self.size]

    def append(self, id_: int, center: Array, weight: float, time: float) -> None:
        """Add a micro-cluster; `id_` must be above every id present."""
        if self.size == len(self._ids):
            self._resize(2 * self.size)
        row = self.size
        self.size += 1
        self._look()
        self._ids[row] = id_
        self._weights[row] = weight
        self._updated[row] = time
        self._apart[row] = np.inf
        self.move_one(row, center)

    def move_one(self, row: int, center: Array) -> None:
        """Set the centre of one row."""
        self.move(np.array([row]), np.asarray(center, np.float64)[None])

    def move(self, rows: Rows, centers: Array) -> None:
        """Set the centres of `rows`."""
        largest = place(self._centers, self._rough, self._half, self._dirty, rows, centers)
        self._largest = max(self._largest, largest)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows where `mask` is False; the order of the others stays."""
        if mask.all():
            return
        first = int(mask.argmin())
        kept = first + int(mask[first:].sum())
        for name in _COLUMNS:
            column = getattr(self, name)
            column[first:kept] = column[first : self.size][mask[first:]]
        self.size = kept
        self._look()
        if len(self._ids) > 4 * max(kept, _FEW):
            self._resize(2 * max(kept, _FEW))

    def id_of(self, row: int) -> int:
        """Return the id of a row."""
        return self._ids.item(row)

    def row_of(self, id_: int) -> int:
        """Return the row of a live id.

        Raises
        ------
        KeyError
            If there is none.
        """
        row = int(self.ids.searchsorted(id_))
        if row == self.size or self._ids.item(row) != id_:
            raise KeyError(id_)
        return row

    def attract(self, x: Array, threshold: float, fading: float, time: float) -> tuple[int, int]:
        """Let `x` draw every centre closer than a threshold; see `attract.attract`.

        Returns
        -------
        tuple
            How many were drawn, -1 where that cannot be told (then none was); and the row that is
            nearest now, if any was. `drawn` has the rows.
        """
        count, nearest_, self._largest = attract(
            self._handed.words, self.size, x, threshold, fading, time, self._largest
        )
        return count, nearest_

    def drawn(self, count: int) -> Rows:
        """Return the rows that `attract` has drawn, so many, ascending; until it does so again."""
        return self._near[:count]

    def within(self, x: Array, radius: float) -> tuple[Rows, Array]:
        """Rows that may be closer to `x` than `radius`, ascending, and their exact distances.

        None that is closer is missing; a few that are not may be there.
        """
        scores, square, slack = self._scores(x)
        rows = (scores > 0.5 * (square - radius * radius - slack)).nonzero()[0]
        return rows, self._exact(rows, x)

    def nearest(self, x: Array) -> tuple[int, float]:
        """The row closest to `x` (the first of equals) and its distance."""
        row, square = np.empty(1, np.int64), np.empty(1)
        nearest(self.live[1], x, row, square)
        return row.item(), math.sqrt(square.item())

    def closest_pair(self) -> tuple[int, int]:
        """The two rows nearest to each other (the first of equals), of at least two."""
        return min(self.closest_pairs())

    def closest_pairs(self) -> list[tuple[int, int]]:
        """Every pair (lower row, higher row) that is as near to each other as the closest is.

        `_apart` holds a lower bound for each row: only a row that claims to be closest is
        measured, until all that claim it have been.
        """
        self._settle()
        apart = self._apart[: self.size]
        best, found = np.inf, dict[tuple[int, int], float]()
        measured: set[int] = set()
        while True:
            claims = (apart <= best * (1 + 1e-12)).nonzero()[0].tolist()
            rows = [row for row in claims if row not in measured]
            if not rows:
                break
            row = rows[0] if best < np.inf else int(apart.argmin())
            near, distances = self._others(row)
            measured.add(row)
            apart[row] = distances.min()
            best = min(best, float(apart[row]))
            for other, distance in zip(near.tolist(), distances.tolist(), strict=True):
                found[min(row, other), max(row, other)] = distance
        return sorted(p for p, distance in found.items() if distance <= best * (1 + 1e-12))

    def _others(self, row: int) -> tuple[Rows, Array]:
        """The rows that may be closest to this one, and their distances."""
        scores, _, slack = self._scores(self._centers[row])
        scores[row] = -np.inf
        rows = (scores >= float(scores.max()) - slack).nonzero()[0]
        rows = rows[rows != row]
        return rows, self._exact(rows, self._centers[row])

    def _scores(self, x: Array) -> tuple[NDArray[np.float32 | np.float64], float, float]:
        """``c x - |c|^2 / 2`` of every row (high is near), ``|x|^2``, and the slack."""
        square, slack = float(x @ x), float(rounding(x, self._largest))
        if slack == np.inf:
            centers = self.centers
            scores = centers @ x - 0.5 * np.vecdot(centers, centers)
            return scores, square, 1e-12 * (square + self._largest)
        rough = self._rough[: self.size] @ x.astype(np.float32)
        rough -= self._half[: self.size]
        return rough, square, slack

    def _exact(self, rows: Rows, x: Array) -> Array:
        difference = self._centers[rows] - x
        out: Array = np.sqrt(np.vecdot(difference, difference))
        return out

    def _settle(self) -> None:
        """Bring the lower bounds up to date with the rows that have moved."""
        dirty = self._dirty[: self.size].nonzero()[0]
        self._dirty[dirty] = False
        for start in range(0, len(dirty), _CHUNK):
            self._measure(dirty[start : start + _CHUNK])

    def _measure(self, rows: Rows) -> None:
        centers, half = self._rough[: self.size], self._half[: self.size]
        halves = (half[rows][:, None] + half) - centers[rows] @ centers.T
        slack = 3e-7 * (centers.shape[1] + 8) * 2.0 * self._largest
        bounds = np.sqrt(np.maximum(2.0 * halves.astype(np.float64) - slack, 0.0))
        bounds[np.arange(len(rows)), rows] = np.inf
        apart = self._apart[: self.size]
        np.minimum(apart, bounds.min(axis=0), out=apart)
        apart[rows] = bounds.min(axis=1)

    def _resize(self, capacity: int) -> None:
        for name in _COLUMNS:
            column = getattr(self, name)
            larger = np.empty((capacity, *column.shape[1:]), dtype=column.dtype)
            larger[: self.size] = column[: self.size]
            setattr(self, name, larger)
        self._near = np.empty(capacity, dtype=np.int64)
        self._hand_over()
