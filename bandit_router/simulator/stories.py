"""What the notebooks share: a map grown on a table, settings side by side, and their figures.

Needs matplotlib (extra `simulator`); opens no window.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ..clustering.layout import Layout
from ..config import parse_config
from ..embedding import CachedEmbedder, make_embedder
from ..policies import ThompsonPolicy
from ..router import Router
from ..types import LineageEvent
from ..views import ClusterView
from . import plots
from .tables import read_table

_LABELS = 14  # regions that are called by name in the picture
_WORDS = 24  # characters of a name


@dataclass(frozen=True, eq=False)
class Grown:
    """A router that went once through a table, and what became of its clusters meanwhile.

    Attributes
    ----------
    lineage
        Every birth, merge, split, fade and drift, in order.
    places
        The coarsest cluster of every decision, as it was called then.
    tasks
        The task label of every decision; the router never saw it.
    """

    router: Router
    lineage: tuple[LineageEvent, ...]
    places: tuple[int | None, ...]
    tasks: tuple[str, ...]


def grow(folder: Path, *, steps: int, embedder: str = "static", seed: int = 0) -> Grown:
    """Route prompts of a table in random order, with the real outcomes as feedback."""
    table = read_table(folder)
    settings = parse_config(
        {"clusterer": {"names": True}, "embedder": {"name": embedder}, "bandit": {"seed": seed}}
    ).settings
    router = Router(table.models, settings=settings)
    order = np.random.default_rng(seed).permutation(len(table.prompts))[:steps]
    prompts = [table.prompts[row] for row in order]
    vectors = CachedEmbedder(make_embedder(settings.embedder)).encode(prompts)
    lineage: list[LineageEvent] = []
    places = []
    for row, prompt, vector in zip(order, prompts, vectors, strict=True):
        decision = router.decide(prompt, vector=vector)
        lineage += router.apply(decision)
        router.read(decision, prompt)
        places.append(decision.path[0] if decision.path else None)
        quality = table.quality[row, table.names.index(decision.model)]
        if np.isfinite(quality):
            router.feedback(decision.decision_id, float(quality))
    return Grown(router, tuple(lineage), tuple(places), tuple(table.tasks[row] for row in order))


def side_by_side(runs: Mapping[str, dict[str, Any]], policy: str) -> dict[str, Any]:
    """Return one table in which the same policy stands once under the name of each run.

    Parameters
    ----------
    runs
        Results of `simulate` on one table, by what was different in them.
    """
    tables = {name: result["tables"][0] for name, result in runs.items()}
    first: dict[str, Any] = next(iter(tables.values()))
    return first | {"policies": {name: t["policies"][policy] for name, t in tables.items()}}


def outcomes(table: dict[str, Any], key: str = "utility") -> Figure:
    """Mean utility (or another figure) of each policy, with 95 % intervals where there are."""
    names = list(table["policies"])[::-1]
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.34 * len(names)))
        axes = figure.subplots()
        for row, name in enumerate(names):
            found = table["policies"][name]
            axes.plot(found[key], row, "o", color="#0072B2")
            if f"{key}_ci" in found:
                axes.plot(found[f"{key}_ci"], [row, row], color="#0072B2", lw=1.6)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        known = any(f"{key}_ci" in found for found in table["policies"].values())
        intervals = ", 95 % intervals" if known else ""
        axes.set_xlabel(f"mean {key} over {table['seeds']} seeds{intervals}")
        axes.set_title(f"{table['table']}: {table['steps']:,} decisions, {table['scenario']}")
    return figure


def estimates(found: dict[str, Any], truth: Mapping[str, float] | None = None) -> Figure:
    """What `replay` estimates of each policy, by estimator, beside the truth where it is known."""
    names = list(found["policies"])
    shades = {"ips": "#56B4E9", "snips": "#CC79A7", "dm": "#E69F00", "dr": "#0072B2"}
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(7.8, 1.2 + 0.62 * len(names)))
        axes = figure.subplots()
        told = False
        for row, name in enumerate(names):
            said = found["policies"][name]["estimators"]
            shown = [e for e in shades if e in said and said[e]["value"] is not None]
            for place, estimator in enumerate(shown):
                y = row + 0.3 - 0.6 * place / max(1, len(shown) - 1)
                value, (low, high) = said[estimator]["value"], said[estimator]["ci"]
                label = estimator if row == 0 else None
                axes.plot([low, high], [y, y], color=shades[estimator], lw=1.6)
                axes.plot(value, y, "o", ms=5, color=shades[estimator], label=label)
            if truth and name in truth:
                label = None if told else "the truth"
                told = True
                axes.plot([truth[name]] * 2, [row - 0.38, row + 0.38], "k:", lw=1.4, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("mean reward of a decision, 95 % intervals")
        axes.set_title("What the log says of other policies")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def picture(router: Router) -> Figure:
    """The map: a point for each micro-cluster, coloured by its best arm; regions by name."""
    assert isinstance(router.policy, ThompsonPolicy)
    assert router.policy.map is not None
    places = router.policy.map.places()
    layout = Layout()
    layout.update([p.id for p in places], np.array([p.center for p in places]))
    clusters = router.clusters()
    finest = max((c.level for c in clusters), default=0)
    points = [c for c in clusters if c.level == finest and c.best is not None]
    arms = sorted({str(c.best) for c in points}, key=lambda a: -_weight(points, a))
    color = plots.colors(arms)
    with mpl.rc_context(plots.STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(8.4, 5.6))
        axes = figure.subplots()
        for arm in arms:
            mine = [c for c in points if c.best == arm]
            x, y = np.array([layout.positions[c.id] for c in mine]).T
            sizes = [8 + 4 * c.weight for c in mine]
            label = f"{arm} ({_weight(points, arm):.0%} of the traffic)"
            axes.scatter(x, y, s=sizes, color=color[arm], alpha=0.75, lw=0, label=label)
        _name_regions(axes, layout, [c for c in clusters if c.level == 0])
        axes.set_axis_off()
        axes.set_title("Micro-clusters by the model that is believed best there")
        legend = figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        for handle in legend.legend_handles:
            handle.set_sizes([40.0])  # type: ignore[union-attr]
    return figure


def _weight(points: Sequence[ClusterView], arm: str) -> float:
    total = sum(c.weight for c in points) or 1.0
    return sum(c.weight for c in points if c.best == arm) / total


def _name_regions(axes: Any, layout: Layout, regions: Sequence[ClusterView]) -> None:
    named = sorted((c for c in regions if c.label), key=lambda c: -c.weight)[:_LABELS]
    for region in named:
        x, y = layout.positions[region.id]
        text = textwrap.shorten(str(region.label), _WORDS, placeholder="").rstrip(",")
        box = {"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 1}
        axes.annotate(text, (x, y), ha="center", fontsize=7.5, bbox=box)


def lineage(grown: Grown) -> Figure:
    """How many clusters lived along the stream, by level, and what became of them."""
    steps = len(grown.places)
    levels = sorted({event.level for event in grown.lineage})
    with mpl.rc_context(plots.STYLE):
        figure = Figure(figsize=(8.4, 3.4))
        panels = figure.subplots(1, len(levels), squeeze=False)[0]
        for axes, level in zip(panels, levels, strict=True):
            for what, shade, style in (
                ("born", "#0072B2", "-"),
                ("split", "#009E73", "--"),
                ("merged", "#D55E00", "-"),
                ("faded", "#999999", "-"),
                ("moved", "#CC79A7", ":"),
            ):
                of = [e for e in grown.lineage if e.level == level and e.what == what]
                if of:
                    decision = np.array([e.seq for e in of]) * steps / max(1, grown.router.seq)
                    counts = np.arange(1, len(of) + 1)
                    label = f"{what} ({len(of)})"
                    axes.step([*decision, steps], [*counts, counts[-1]], style, color=shade,
                              where="post", label=label)  # fmt: skip
            kind = "regions" if level == 0 else "micro-clusters"
            axes.set_title(kind)
            axes.set_xlabel("decisions")
            axes.legend(loc="upper left", fontsize=8)
        panels[0].set_ylabel("events so far")
    return figure
