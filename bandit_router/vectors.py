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
_ROUNDING = 1e-6  # of the norm of a float32 vector that was brought to norm 1


def as_bytes(vector: Vector) -> bytes:
    """Return an embedding as little-endian float32 bytes, as logs hold it."""
    return (vector if vector.dtype == FLOAT32 else vector.astype(FLOAT32)).tobytes()


def unit(vector: Any, *, field: str = "embedding") -> Vector:
    """Return `vector` as contiguous float32 of norm 1.

    Raises
    ------
    InvalidInput
        If it is not one-dimensional, not finite or has no length.
    """
    if isinstance(vector, np.ndarray) and vector.dtype == np.float32:
        out = vector
    else:
        try:
            with np.errstate(over="ignore"):  # infinity is refused below
                out = np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(f"{field} must be a list of numbers", field) from None
    if out.ndim != 1 or not out.size:
        raise InvalidInput(f"{field} must be a flat, non-empty list of numbers", field)
    if not out.flags.c_contiguous:
        out = np.ascontiguousarray(out)
    scaled = np.empty(len(out), FLOAT32)
    length = _scale(out, scaled)
    if not math.isfinite(length) or length < 1e-12:
        raise InvalidInput(f"{field} must be finite and not all zeros", field)
    return scaled if abs(length - 1.0) > _ROUNDING else out


@compiled
def _scale(vector: Vector, out: Vector) -> float:
    """Write a vector of norm 1; return the norm that it had."""
    length = _length(vector)
    for i in range(len(vector)):
        out[i] = vector[i] / np.float32(length)
    return length


@reordered
def _length(vector: Vector) -> float:
    square = 0.0
    for i in range(len(vector)):
        value = float(vector[i])
        square += value * value
    return math.sqrt(square)
