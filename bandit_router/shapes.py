"""The arrays of a snapshot: which there are, of what type and shape.

A digest says that a snapshot is what was written, not that it can be worked with: compiled code
reads arrays without asking how long they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .exceptions import StoreError

Path = tuple[str, ...]
Shapes = dict[str, str | tuple[str, ...]]

_COORDINATES = 32  # the most that difficulty is linear in, see `bandits.posterior`

# A type and axes: a number, or a name that stands for one number in the whole of a policy if it is
# capitalised, else among what lies side by side (of a `*`: all below it). `a/b`: either will do;
# `Space+1` counts at most `_COORDINATES` of them.
# Where there are no rows, `Space` may be 0.
_POLICY: Shapes = {
    "map.lineage.heirs": "<i8 ids",
    "map.lineage.level_of": "<i4 ids",
    "map.lineage.parents": "<i8 any 2",
    "map.lineage.origins": "<i8 any 2",
    "map.shares.counts": "<i8 any 2",
    "map.shares.ids": "<i8 regions",
    "map.shares.regions": "<f8 regions 8",
    "map.levels.*.ids": "<i8 live",
    "map.levels.*.centers": "<f8 live Space",
    "map.levels.*.weights": "<f8 live",
    "map.levels.*.updated": "<f8 live",
    "map.levels.*.slots.centers": "<f8 live Space",
    "map.levels.*.slots.chunk": "<f8 any Space",
    "map.levels.*.slots.x": ("<f8 live Space 3", "<f8 live"),
    "map.levels.*.slots.times": ("<f8 live 3", "<f8 live"),
    "map.levels.*.slots.keys": "<i8 live",
    "map.levels.*.slots.numbers": "<f8 live 3",
    "map.levels.*.slots.linear": "<f8 live Space",
    "map.levels.*.slots.squared": "<f8 live Space",
    "map.levels.*.slots.buffer": "<f8 any Space",
    "posterior.arms": "list Arms",
    "posterior.active": "|b1 Arms",
    "posterior.prior": "<f8 Arms",
    "posterior.total": "<f8 9 Arms",
    "posterior.log_weights": "<f8 7",
    "posterior.weights": "<f8 7",
    "posterior.priors.cost": "<f8 Arms",
    "posterior.priors.given": "<f8 Arms",
    "posterior.priors.like": "list Arms",
    "posterior.cells.ids": "list cells",
    "posterior.cells.sums": "<f8 cells 9 Arms",
    "posterior.cells.place": "<f8 cells 1/Space+1",
    "posterior.adjusted.levels": "<f8 Arms",
    "posterior.adjusted.lambdas": "<f8 Arms",
    "posterior.adjusted.slope": "<f8 Slope=1/Space+1",
    "posterior.adjusted.tilts": "<f8 2 Arms Slope",
    "posterior.adjusted.gram": "<f8 Arms Slope Slope",
    "posterior.adjusted.sum": "<f8 Arms Slope",
    "posterior.adjusted.moment": "<f8 Arms Slope",
    "posterior.list_cost": "<f8 Arms",
    "posterior.latency": "<f8 2 Arms",
    "posterior.learnt_at": "<i8 Arms",
    "posterior.quality.weight": "<f8 Arms",
    "posterior.cost.weight": "<f8 Arms",
    "posterior.quality.total": "<f8 Arms",
    "posterior.cost.total": "<f8 Arms",
    "posterior.quality.steps": "<i8 Arms",
    "posterior.cost.steps": "<i8 Arms",
    "posterior.quality.precision": "<f8 learnt size size",
    "posterior.cost.precision": "<f8 learnt size size",
    "posterior.quality.inverse": "<f8 learnt size size",
    "posterior.cost.inverse": "<f8 learnt size size",
    "posterior.quality.moment": "<f8 learnt size",
    "posterior.cost.moment": "<f8 learnt size",
    "arms": "list Arms",
}
_MABWISER: Shapes = {
    "fitted.*.A": "<f8 size size",
    "fitted.*.A_inv": "<f8 size size",
    "fitted.*.Xty": "<f8 size",
    "fitted.*.beta": "<f8 size",
}
_FITTED: dict[str, Shapes] = {
    "forest": {
        "fitted.feature": "<i8 nodes",
        "fitted.threshold": "<f8 nodes",
        "fitted.left": "<i8 nodes",
        "fitted.right": "<i8 nodes",
        "fitted.value": "<f8 nodes",
        "fitted.root": "<i8 any",
        "fitted.a": "<i8 pairs",
        "fitted.b": "<i8 pairs",
        "fitted.mean": "<f8 Arms",
        "fitted.cost": "<f8 Arms",
    },
    "kmeans": {
        "fitted.centres": "<f8 centres any",
        "fitted.quality": "<f8 centres 0/Arms",
        "fitted.cost": "<f8 centres 0/Arms",
    },
    "mabwiser": _MABWISER,
    "mabwiser-lints": _MABWISER,
    "paretobandit": {
        "fitted.A.*": "<f8 Size Size",
        "fitted.A_inv.*": "<f8 Size Size",
        "fitted.b.*": "<f8 Size",
        "fitted.theta.*": "<f8 Size",
    },
}
_PACER: Shapes = {
    "arms": "list Arms",
    "quality": "<f8 rows 0/Arms",
    "cost": "<f8 rows 0/Arms",
    "usual": "<f8 0/24",
    "today": "<f8 24",
}
_SOURCES: Shapes = {"*.1": "<f8 5"}


def check(state: Mapping[str, Any]) -> None:
    """Refuse a state whose arrays are not of the types and shapes that they must be.

    Raises
    ------
    StoreError
        Naming the first that is not.
    """
    for name, policy in state["strategies"]["policies"].items():
        _check(policy, _POLICY | _FITTED.get(name, {}), f"strategies.{name}")
    _check(state["pacer"], _PACER, "pacer")
    _check(state["sources"], _SOURCES, "sources")


def _check(state: Any, shapes: Shapes, where: str) -> None:
    patterns = [
        (tuple(pattern.split(".")), (spec,) if isinstance(spec, str) else spec)
        for pattern, spec in shapes.items()
    ]
    sizes: dict[Any, int] = {}
    for path, value in _leaves(state, ()):
        wanted = [
            (_scope(pattern, path), spec)
            for pattern, specs in patterns
            if _matches(pattern, path)
            for spec in specs
        ]
        if not wanted and not isinstance(value, np.ndarray):
            continue
        if not any(_fits(value, spec, scope, sizes) for scope, spec in wanted):
            found = f"{len(value)} values" if isinstance(value, list) else type(value).__name__
            if isinstance(value, np.ndarray):
                found = f"{value.dtype.str} {value.shape}"
            raise StoreError(
                f"the snapshot is damaged: {where}.{'.'.join(path)} is {found}, not "
                f"{' or '.join(spec for _, spec in wanted) or 'known'}"
            )


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield what a state holds, lists before what is in them, and dictionaries only inside."""
    if not isinstance(value, dict):
        yield path, value
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(v, dict | list | np.ndarray) for v in value):
        inner = enumerate(value)
    for key, one in inner:
        yield from _leaves(one, (*path, str(key)))


def _matches(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(
        a in ("*", b) for a, b in zip(pattern, path, strict=True)
    )


def _scope(pattern: Path, path: Path) -> Path:
    depth = pattern.index("*") + 1 if "*" in pattern else len(path) - 1
    return path[:depth]


def _fits(value: Any, spec: str, scope: Path, sizes: dict[Any, int]) -> bool:
    """Tell whether a value is as it must be, and note the sizes that it shows if so."""
    kind, *axes = spec.split()
    if kind == "list":
        shape = (len(value),) if isinstance(value, list) else None
    else:
        shape = value.shape if isinstance(value, np.ndarray) and value.dtype == kind else None
    if shape is None or len(shape) != len(axes):
        return False
    shown = dict(sizes)
    for axis, size in zip(axes, shape, strict=True):
        if axis == "Space" and shape[0] == size == 0:
            continue
        name, _, options = axis.partition("=") if "=" in axis else ("", "", axis)
        if name and shown.setdefault(name, size) != size:
            return False
        if not any(_is(size, option, scope, shown) for option in options.split("/")):
            return False
    sizes.update(shown)
    return True


def _is(size: int, option: str, scope: Path, sizes: dict[Any, int]) -> bool:
    """Tell whether an axis is of a size; a name that is new takes it."""
    if option == "any" or option.isdigit():
        return option in ("any", str(size))
    name, _, more = option.partition("+")
    if more:
        known = sizes.get(name, size - int(more))
        return size == min(known, _COORDINATES) + int(more) > int(more)
    return sizes.setdefault(name if name[0].isupper() else (scope, name), size) == size
