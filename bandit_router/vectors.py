"""Embeddings: float32 numbers of norm 1, and the bytes that logs hold of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, reordered
from .exceptions import InvalidInput

Vector = NDArray[np.float32]
"""A unit-norm embedding, shape (dimension,)."""

FLOAT32 = np.dtype("<f4")
"""As logs hold them; what `unit` returns."""

_NATIVE, _IN_A_ROW = np.dtype(np.float32), (4,)  # dtype and strides of most
_LEAST, _MOST = 1e-12, math.inf
_ROUNDING = 1e-6  # of the norm of a float32 vector that was brought to norm 1


def unit(vector: Any, *, field: str = "embedding") -> Vector:
    """Return `vector` as contiguous float32 of norm 1, a copy.

    Raises
    ------
    InvalidInput
        If it is not one-dimensional, not finite or has no length.
    """
    out = vector
    if not (type(out) is np.ndarray and out.dtype is _NATIVE and out.strides == _IN_A_ROW):
        out = _flat(vector, field)
    scaled = np.empty(len(out), FLOAT32)
    if not _LEAST <= _scale(out, scaled) < _MOST:
        raise InvalidInput(f"{field} must be finite and not all zeros", field)
    return scaled


def _flat(vector: Any, field: str) -> Vector:
    """Return contiguous float32 numbers; whatever else they are, they are refused."""
    try:
        with np.errstate(over="ignore"):  # infinity is refused with its norm
            out = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{field} must be a list of numbers", field) from None
    if out.ndim != 1 or not out.size:
        raise InvalidInput(f"{field} must be a flat, non-empty list of numbers", field)
    return np.ascontiguousarray(out)


@compiled
def _scale(vector: Vector, out: Vector) -> float:
    """Write a vector of norm 1, the same if it was one; return the norm that it had."""
    length = _length(vector)
    by = np.float32(length if abs(length - 1.0) > _ROUNDING else 1.0)
    for i in range(len(vector)):
        out[i] = vector[i] / by
    return length


@reordered
def _length(vector: Vector) -> float:
    square = 0.0
    for i in range(len(vector)):
        value = float(vector[i])
        square += value * value
    return math.sqrt(square)
