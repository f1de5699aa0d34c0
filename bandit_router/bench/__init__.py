"""How fast it is: every suite gives figures by name, microseconds unless the name says else."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from ..cores import cores
from . import clusterers, core, gateway, http, start
from .run import Run

__all__ = ["SUITES", "Run", "hot_spots", "run", "text"]

Suite = Callable[[Run], dict[str, float]]

SUITES: dict[str, Suite] = {
    "core": core.figures,
    "http": http.static,
    "minilm": http.minilm,
    "gateway": gateway.figures,
    "start": start.figures,
    "growth": core.growth,
    "clusterers": clusterers.figures,
}
"""What `bandit-router bench` runs; add a function here and its figures are printed."""

_SHOWN = 30


def run(names: list[str], run: Run) -> dict[str, float]:
    """Run suites and return their figures in one flat object.

    Parameters
    ----------
    names
        Suites; none means all.
    run
        How much is measured, and who is told.
    """
    out: dict[str, float] = {"cores": float(cores())}
    for name in names or list(SUITES):
        if run.profile is None:
            out |= SUITES[name](run)
            continue
        profile = cProfile.Profile()
        out |= profile.runcall(SUITES[name], run)
        profile.dump_stats(run.profile / f"{name}.prof")
    return {name: float(f"{value:.4g}") for name, value in out.items() if value == value}


def text(figures: dict[str, float], before: dict[str, float] | None = None) -> str:
    """Return the figures as aligned lines, with what has changed since an earlier run."""
    width = max(map(len, figures))
    lines = []
    for name, value in figures.items():
        line = f"{name:<{width}}  {value:>12,.4g}"
        if before and before.get(name):
            line += f"  {value / before[name] - 1.0:>+8.1%}"
        lines.append(line)
    return "\n".join(lines)


def hot_spots(file: Path) -> str:
    """Return the functions of a profile that took most time themselves."""
    out = StringIO()
    stats = pstats.Stats(str(file), stream=out)
    stats.strip_dirs().sort_stats("tottime").print_stats(_SHOWN)
    return out.getvalue()
