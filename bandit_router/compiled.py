"""Loops in machine code: what runs at every decision is compiled by numba, once a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Return `function` compiled at its first call, and kept on disk for the next process.

    Sums may be reordered, so that they use the whole width of the processor: results are the
    same at every run on one machine, and agree to rounding elsewhere.
    """
    fastmath = {"reassoc", "contract", "nsz", "arcp"}
    return cast(Function, njit(cache=True, error_model="numpy", fastmath=fastmath)(function))
