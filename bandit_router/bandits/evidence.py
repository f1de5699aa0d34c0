"""All that a `Posterior` holds, as its machine code is handed it: what there is, in which order."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled
from ..handed import Handed, cube, line, table
from .belief import Array, Rows

_KINDS = (np.float64,) * 4 + (np.int64,) + (np.float64,) * 2


def hand_over(
    arms: Array,
    adjusted: Array,
    sums: Array,
    places: Array,
    row_of: Rows,
    pools: Array,
    tuning: Array,
) -> Handed:
    """Return these arrays as machine code takes them; see `evidence_of`."""
    return Handed((arms, adjusted, sums, places, row_of, pools, tuning), _KINDS)


@compiled
def evidence_of(handed: Rows) -> tuple[Array, Array, Array, Array, Rows, Array, Array]:
    """Return what was handed over.

    Returns
    -------
    arms
        Shape (`ARM_ROWS`, A), see `arms`.
    adjusted
        What `AdjustedLevels` are held in.
    sums, places, row_of
        Of every cluster, see `Cells`; shape (rows, `ROWS`, A) and (rows, dimension + 1).
    pools
        Of the candidate strengths, shape (3, S): how strong, how much each is believed, the
        logarithm of that but for a constant; the last is of the tilts.
    tuning
        See `Widths.array`.
    """
    return (
        table(handed, 0, np.float64),
        table(handed, 1, np.float64),
        cube(handed, 2, np.float64),
        table(handed, 3, np.float64),
        line(handed, 4, np.int64),
        table(handed, 5, np.float64),
        line(handed, 6, np.float64),
    )
