"""Where `AdjustedLevels` are held: one array, as machine code reads it."""

from __future__ import annotations

import numpy as np

from ..compiled import compiled
from .belief import Array

Blocks = tuple[Array, Array, Array, Array, Array]


def room(arms: int, dimension: int) -> Array:
    """Return all zeros for so many arms and places of this dimension; see `blocks`."""
    size = dimension + 1
    return np.zeros((1 + (4 + size) * arms, size))


@compiled
def blocks(held: Array, arms: int) -> Blocks:
    """Return what `AdjustedLevels` consist of, as views.

    Returns
    -------
    slope
        Shape (1, dimension + 1).
    seen, moment
        Shape (arms, dimension + 1).
    tilts
        Shape (2, arms, dimension + 1).
    gram
        Shape (arms, dimension + 1, dimension + 1).
    """
    size = held.shape[1]
    return (
        held[:1],
        held[1 : 1 + arms],
        held[1 + arms : 1 + 2 * arms],
        held[1 + 2 * arms : 1 + 4 * arms].reshape((2, arms, size)),
        held[1 + 4 * arms :].reshape((arms, size, size)),
    )
