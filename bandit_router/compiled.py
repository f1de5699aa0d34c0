"""Loops in machine code: what runs at every decision is compiled by numba, once a machine."""

# mypy: allow-untyped-calls
from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    InTreeCacheLocator,
    NullCache,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.types import unliteral
from numba.extending import intrinsic

log = logging.getLogger(__name__)

_HOW_LONG = "ten to fifteen seconds of one core"

Function = TypeVar("Function", bound=Callable[..., object])


def _number_anew() -> None:
    """Let what this process compiles have names that no other's has.

    Numba names machine code by numbers that begin at 1 in every process, and takes two of one name
    for one. What two processes have compiled and kept, a third one loads: were both called alike,
    it would use the constants of the one with the code of the other.
    """
    FunctionIdentity._unique_ids = count(secrets.randbits(48))


_number_anew()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_number_anew)


def compiled(function: Function) -> Function:
    """Return `function` compiled at its first call, and kept on disk for the next process.

    What runs at every decision writes into arrays that it is given: to make numpy's of one that
    it returns takes a microsecond.

    Its arithmetic is that of the source, in that order. A loop that writes has two forms in
    machine code, and where the arrays happen to lie in memory decides which one runs: were they
    free to round differently, one log would come to two states.

    In such a function numbers go from array to array one by one, not slice by slice: numba checks
    the shapes of slices, and to compile the messages of that check takes seconds.

    It is kept in ``NUMBA_CACHE_DIR``, beside the source, or in the user's cache: in the first of
    them that can be written, else in the first that holds it already. Without any, every process
    compiles for itself.
    """
    return _kept(function, fastmath=False)


def reordered(function: Function) -> Function:
    """Return `function` compiled as `compiled` does, its sums free to use the processor's width.

    Only for loops that write no array: they have one form, so that results are the same at every
    run on one machine; elsewhere they agree to rounding.
    """
    return _kept(function, fastmath={"reassoc", "contract", "nsz", "arcp"})


def _fused(_: Any, a: Any, b: Any, c: Any) -> Any:
    def code(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, a, a), code


fused: Any = intrinsic(_fused)
"""In compiled code, of one type: the first times the second plus the third, rounded once."""


def _kept(function: Function, fastmath: bool | set[str]) -> Function:
    options = {"error_model": "numpy", "fastmath": fastmath, "no_cfunc_wrapper": True}
    out = cast(Any, njit)(**options)(function)
    # A constant is an argument like any other: no form of its own for each.
    form = out.get_call_template
    out.get_call_template = lambda args, kws: form(tuple(map(unliteral, args)), kws)
    try:
        out._cache = Kept(function)
        out._cache.arithmetic = _arithmetic(out)
    except RuntimeError:  # numba found no place
        out._cache = Unkept()
    return cast(Function, out)


@cache
def _say(message: str) -> None:
    """Warn, once in a process."""
    log.warning(message)


class Unkept(NullCache):
    """Nowhere to keep compiled code."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        """Say that there is nothing, and will be nothing next time."""
        _say(
            f"compiling, as at every start: {_HOW_LONG}. Compiled code can be kept nowhere: set "
            "NUMBA_CACHE_DIR to a folder that can be written"
        )


def _held(self: Any) -> None:
    """Raise `OSError` unless something that was compiled of this file lies here."""
    if not any(Path(self.get_cache_path()).glob(f"{Path(self._py_file).stem}.*.nbi")):
        raise FileNotFoundError


_TO_READ: list[Any] = [
    type(f"Read{place.__name__}", (place,), {"ensure_cache_path": _held})
    for place in (UserProvidedCacheLocator, InTreeCacheLocator, UserWideCacheLocator)
]


class _Places(CompileResultCacheImpl):
    """Where numba keeps code, and then where it can only be read: a container's image, say."""

    def __init__(self, function: Any) -> None:
        self._locator_classes = [*self._locator_classes, *_TO_READ]
        super().__init__(function)


class Kept(FunctionCache):
    """Compiled code on disk: a saving of time, on which nothing else depends.

    Numba compiles again when a function's own file has changed. Here it does so also when that
    of a function it calls has, or a constant from elsewhere; and what is broken, or cannot be
    written, is passed over.
    """

    _impl_class = _Places
    arithmetic = ""  # what it may do with sums

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled for these types before, or None."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a file that was cut short can raise anything
            found = None
            with suppress(OSError):
                self.flush()
        # Two processes that write at once can leave one's code under the other's types.
        if found and tuple(found.signature.args) == tuple(sig):
            return found
        _say(f"compiling for this processor: {_HOW_LONG}, kept for the next start")
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for these types, if it can be."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say(
                f"compiled code cannot be kept ({error.strerror}), so every start compiles again: "
                "set NUMBA_CACHE_DIR to a folder that can be written"
            )

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return *super()._index_key(sig, codegen), made_of(self._py_func), self.arithmetic


@cache
def made_of(function: FunctionType) -> str:
    """Return a digest of a function, of those that it calls, and of the constants they take."""
    code = function.__code__
    digest = hashlib.sha256(code.co_code)
    for constant in code.co_consts:
        inner = constant.co_code if isinstance(constant, CodeType) else constant
        digest.update(repr(inner).encode())
    for name in code.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            value = made_of(value.py_func) + _arithmetic(value)
        elif isinstance(value, _Intrinsic):
            value = made_of(value._defn)
        elif not isinstance(value, int | float | tuple):
            continue
        digest.update(f"{name}={value!r};".encode())
    return digest.hexdigest()


def _arithmetic(compiled_: Any) -> str:
    """Return what a compiled function may do with sums."""
    allowed = compiled_.targetoptions["fastmath"]
    return " ".join(sorted(allowed)) if allowed else ""
