"""Figures of what `simulate` found; each function takes one table of its result.

They need matplotlib (extra `simulator`), open no window, and return a `Figure`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray
from scipy import stats

from .hindsight import HINDSIGHT

Array = NDArray[np.float64]
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei")
STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "font.family": [name for name in _FONTS if name in get_font_names()],
    "font.size": 9.5,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.hashsalt": "bandit-router",
    "text.parse_math": False,  # a model's name may hold a dollar sign
}
# Okabe and Ito's colours, which colour-blind readers can tell apart, the yellow darkened.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A7D00", "#6A3D9A")
_HALO = [withStroke(linewidth=2.5, foreground="white")]  # text over lines stays readable
_GREYS = dict(zip(HINDSIGHT, ("#999999", "#555555", "#000000"), strict=True))
_TURNS = {  # at which share of the stream a scenario turns, and to what
    "degrade": (1 / 2, "the best model gets worse"),
    "price": (1 / 2, "the best model gets dearer"),
    "new-arm": (1 / 3, "the best model joins"),
    "retire": (1 / 2, "the best model leaves"),
}
_SMOOTH = 4  # parts of the stream in a moving mean
_MOST_ARMS = 8
_MOST_NAMED = 30  # models in a frontier; of more, those on the hull have their names
_MOST_COLUMNS = 20
_FEWEST = 3
_MOST_OF_IT = 0.7  # a close-up that shows more is none
_LONGEST = 34


def colors(policies: Iterable[str]) -> dict[str, str]:
    """Return a colour for each policy; those with hindsight are grey."""
    palette = cycle(_COLORS)
    return {name: _GREYS[name] if name in _GREYS else next(palette) for name in policies}


def learning_curves(table: dict[str, Any]) -> Figure:
    """Mean utility along the stream, with 95 % bands over seeds."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 4.2))
        axes = figure.subplots()
        means = []
        for name, curves in _curves(table, "curve_by_seed"):
            _band(axes, table, name, _smoothed(curves))
            means.append(_smoothed(curves).mean(axis=0))
        low, high = float(np.min(means)), float(np.max(means))
        margin = 0.15 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)  # the bands of the first decisions reach far
        axes.set_ylabel("utility (moving mean)")
        axes.set_title(f"{table['table']}: utility along the stream, 95 % bands over seeds")
        _along(axes, table)
    return figure


def regret(table: dict[str, Any]) -> Figure:
    """Cumulative regret against the task-oracle, with 95 % bands over seeds."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 4.2))
        axes = figure.subplots()
        for name, curves in _curves(table, "regret_curve_by_seed"):
            part = table["steps"] / curves.shape[1]
            _band(axes, table, name, np.cumsum(curves, axis=1) * part)
        axes.set_ylabel("cumulative regret")
        axes.set_title(f"{table['table']}: utility lost to the best model of each task label")
        _along(axes, table)
    return figure


def arm_shares(table: dict[str, Any]) -> Figure:
    """Share of the traffic of each arm along the stream, one panel a policy that learns."""
    names = [n for n in table["policies"] if n not in HINDSIGHT and not n.startswith("fixed:")]
    names = names or list(table["policies"])
    shares = {n: table["policies"][n]["arm_share"] for n in names}
    total = {arm: sum(float(np.mean(s[arm])) for s in shares.values()) for arm in table["models"]}
    arms = sorted(total, key=lambda arm: -total[arm])[:_MOST_ARMS]
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * columns + 1.2, 2.5 * rows + 0.9))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, name in zip(grid.flat, names, strict=False):
            _stack(axes, table, shares[name], arms)
            _turn(axes, table)
            axes.set_title(name)
        for axes in list(grid.flat)[len(names) :]:
            axes.set_visible(False)
        for column in grid.T:
            lowest = [axes for axes in column if axes.get_visible()][-1]
            lowest.tick_params(labelbottom=True)
            lowest.set_xlabel(f"decisions ({table['scenario']})")
        for axes in grid[:, 0]:
            axes.set_ylabel("share")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.suptitle(f"{table['table']}: share of the traffic of each model", x=0.02, ha="left")
    return figure


def frontier(table: dict[str, Any]) -> Figure:
    """Quality against cost: the models, the best mixes of them, and each policy's sweep."""
    found = table["frontier"]
    weights = sorted({p["cost_weight"] for line in found["policies"].values() for p in line})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.8))
        whole, near = figure.subplots(1, 2)
        _trade_offs(whole, found)
        _trade_offs(near, found)
        closer = _close_up(near, found)
        if not closer:
            figure.delaxes(near)
            whole.set_subplotspec(whole.get_gridspec()[0, :])
        whole.set_ylabel("quality")
        whole.set_title("all of it" if closer else "")
        near.set_title("close up")
        handles, labels = whole.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
        figure.suptitle(
            f"{table['table']}: what quality costs (cost weights "
            f"{', '.join(f'{w:g}' for w in weights)}, each a dot)",
            x=0.02,
            ha="left",
        )
    return figure


def _trade_offs(axes: Axes, found: dict[str, Any]) -> None:
    models = found["models"]
    cost = np.array([m["cost_usd"] for m in models.values()])
    quality = np.array([m["quality"] for m in models.values()])
    axes.scatter(cost, quality, color="#777777", s=26, zorder=2, label="always one model")
    corners, heights = hull(cost, quality)
    mixed = np.sort(np.concatenate([corners, *_between(corners)]))
    mix = np.interp(mixed, corners, heights)
    axes.plot(mixed, mix, ":", color="#777777", label="best mix without context")
    color = colors(found["policies"])
    for name, points in found["policies"].items():
        x = [p["cost_usd"] for p in points]
        y = [p["quality"] for p in points]
        style = "--" if name in HINDSIGHT else "-"
        axes.plot(x, y, style, marker="o", ms=4.5, color=color[name], label=name, zorder=3)
    if cost.min() > 0 and cost.max() / cost.min() > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=5)
    middle = float(np.median(cost))
    named = {*zip(corners.tolist(), heights.tolist(), strict=True)}
    for name, x, y in zip(models, cost.tolist(), quality.tolist(), strict=True):
        if len(models) > _MOST_NAMED and (x, y) not in named:
            continue
        left = bool(x > middle)
        axes.annotate(
            _short(name),
            (x, y),
            (-5 if left else 5, -11),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=7,
            annotation_clip=True,
            path_effects=_HALO,
            zorder=5,
        )
    axes.set_xlabel("cost a request, US dollars")


def _between(x: Array) -> list[Array]:
    """Points between those of the hull: a mix is linear in its cost, also on a log axis."""
    return [np.geomspace(max(a, 1e-12), b, 40)[1:-1] for a, b in pairwise(x) if b > 0]


def _close_up(axes: Axes, found: dict[str, Any]) -> bool:
    """Show the neighbourhood of the policies that choose on purpose; False if that is all."""
    points = [p for name, line in found["policies"].items() if name != "random" for p in line]
    if not points:
        return False
    low, high = axes.get_ylim()
    x, y = (np.array([p[key] for p in points]) for key in ("cost_usd", "quality"))
    margin = 0.12 * float(np.ptp(y)) or 0.01
    axes.set_ylim(float(y.min()) - margin, float(y.max()) + margin)
    if axes.get_xscale() == "log":
        axes.set_xlim(float(x.min()) / 1.3, float(x.max()) * 1.3)
    else:
        margin = 0.08 * float(np.ptp(x)) or 0.1 * float(x.max()) or 0.01
        axes.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    return float(np.ptp(y)) < _MOST_OF_IT * (high - low)


def regions(table: dict[str, Any], policy: str) -> Figure:
    """What each arm earns in each region of a policy's map, beside where the traffic went.

    Of many arms those are shown that are best somewhere or have the most traffic.
    """
    found = table["policies"][policy]["clusters"]
    arms = np.array(table["models"])
    labels = [f"{c['cluster']}: {_short(c['task'], 20)} {c['task_share']:.0%}" for c in found]
    utility = np.array([[_or_nan(c["utility"][arm]) for arm in arms] for c in found])
    lost = np.nanmax(utility, axis=1, keepdims=True) - utility
    share = np.array([[c["share"][arm] for arm in arms] for c in found])
    if len(arms) > _MOST_COLUMNS:
        rank = np.nanmin(np.where(np.isnan(lost), np.inf, lost), axis=0) - share.max(axis=0)
        shown = np.sort(np.argsort(rank, kind="stable")[:_MOST_COLUMNS])
        arms, lost, share = arms[shown], lost[:, shown], share[:, shown]
    worst = max(float(np.nanquantile(lost, 0.9)), 1e-6)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        width = max(8.4, 2.9 + 0.62 * len(arms))
        figure = Figure(figsize=(width, 2.6 + 0.24 * len(found)))
        panels = figure.subplots(1, 2, sharey=True)
        cells = (
            (lost, "utility below the best model there", "Reds", worst),
            (share, "share of traffic, second half", "Blues", 1.0),
        )
        for axes, (values, title, shades, top) in zip(panels, cells, strict=True):
            image = axes.imshow(values, aspect="auto", cmap=shades, vmin=0, vmax=top)
            axes.set_title(title, fontsize=10)
            names = [_short(arm, 24) for arm in arms]
            axes.set_xticks(range(len(arms)), names, rotation=60, ha="right")
            figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01)
        best = np.nanargmin(np.where(np.isnan(lost), np.inf, lost), axis=1)
        panels[1].scatter(best, range(len(found)), s=30, facecolors="none", edgecolors="#D55E00")
        panels[0].set_yticks(range(len(found)), labels, fontsize=8)
        figure.suptitle(
            f"{table['table']}: the busiest regions of {policy}'s map, by commonest task\n"
            "(rings: the best model there)",
            x=0.02,
            ha="left",
            fontsize=11,
        )
    return figure


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as PNG and as SVG, the same bytes every time."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in letters that no font here has
        figure.savefig(f"{stem}.png", metadata={"Software": None})
        figure.savefig(f"{stem}.svg", metadata={"Date": None})


def hull(cost: Array, quality: Array) -> tuple[Array, Array]:
    """Return the upper left hull: what a lottery over models reaches at each cost.

    >>> x, y = hull(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.5]))
    >>> x.tolist(), y.tolist()
    ([1.0, 3.0], [0.1, 0.5])
    """
    kept: list[tuple[float, float]] = []
    for point in sorted(zip(cost.tolist(), (-quality).tolist(), strict=True)):
        if kept and point[1] >= kept[-1][1]:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) >= _slope(kept[-1], point):
            kept.pop()
        kept.append(point)
    return np.array([x for x, _ in kept]), np.array([-y for _, y in kept])


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0]) if b[0] > a[0] else -np.inf


def _curves(table: dict[str, Any], key: str) -> list[tuple[str, Array]]:
    return [(name, np.array(found[key])) for name, found in table["policies"].items()]


def _smoothed(curves: Array) -> Array:
    """Mean of each part and the ones before it."""
    total = np.cumsum(np.insert(curves, 0, 0.0, axis=1), axis=1)
    end = np.arange(1, curves.shape[1] + 1)
    begin = np.maximum(end - _SMOOTH, 0)
    out: Array = (total[:, end] - total[:, begin]) / (end - begin)
    return out


def _band(axes: Axes, table: dict[str, Any], name: str, curves: Array) -> None:
    x = (np.arange(curves.shape[1]) + 1) * table["steps"] / curves.shape[1]
    color = colors(table["policies"])[name]
    mean, seeds = curves.mean(axis=0), len(curves)
    style = "--" if name in HINDSIGHT else "-"
    axes.plot(x, mean, style, color=color, lw=1.7, label=name)
    if seeds >= _FEWEST and name not in HINDSIGHT:  # of two seeds a band is all of the figure
        half = stats.t.ppf(0.975, seeds - 1) * curves.std(axis=0, ddof=1) / np.sqrt(seeds)
        axes.fill_between(x, mean - half, mean + half, color=color, alpha=0.15, lw=0)


def _turn(axes: Axes, table: dict[str, Any]) -> None:
    """Mark where the scenario turns."""
    for part in table["scenario"].split("+"):
        if part in _TURNS:
            share, what = _TURNS[part]
            axes.axvline(share * table["steps"], color="#222222", ls="--", lw=1.1, label=what)


def _along(axes: Axes, table: dict[str, Any]) -> None:
    _turn(axes, table)
    axes.set_xlabel(f"decisions ({table['scenario']}, {table['seeds']} seeds)")
    axes.set_xlim(0, table["steps"])
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _stack(
    axes: Axes, table: dict[str, Any], share: dict[str, list[float]], arms: Sequence[str]
) -> None:
    bins = len(next(iter(share.values())))
    x = (np.arange(bins) + 0.5) * table["steps"] / bins
    heights = [np.array(share[arm]) for arm in arms]
    labels = [_short(arm) for arm in arms]
    shades = list(_COLORS[: len(arms)])
    if len(arms) < len(share):
        heights.append(1.0 - np.sum(heights, axis=0))
        rest = len(share) - len(arms)
        labels.append("1 other" if rest == 1 else f"{rest} others")
        shades.append("#BBBBBB")
    axes.stackplot(x, np.clip(heights, 0.0, 1.0), labels=labels, colors=shades, lw=0)
    axes.set_xlim(0, table["steps"])
    axes.set_ylim(0, 1)


def _short(name: str, longest: int = _LONGEST) -> str:
    name = name.rsplit("/", 1)[-1]
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
