"""How fast it is: every suite gives figures by name, microseconds unless the name says else."""

from __future__ import annotations

import os
from collections.abc import Callable

from . import clusterers

Suite = Callable[[Callable[[str], None]], dict[str, float]]

SUITES: dict[str, Suite] = {"clusterers": clusterers.figures}
"""What `bandit-router bench` runs; add a function here and its figures are printed."""


def run(names: list[str], progress: Callable[[str], None]) -> dict[str, float]:
    """Run suites and return their figures in one flat object.

    Parameters
    ----------
    names
        Suites; none means all.
    progress
        Is told what is being measured.
    """
    out: dict[str, float] = {"cores": float(os.cpu_count() or 1)}
    for name in names or list(SUITES):
        out |= SUITES[name](progress)
    return {name: float(f"{value:.4g}") for name, value in out.items()}


def text(figures: dict[str, float]) -> str:
    """Return the figures as aligned lines."""
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {value:>10,.4g}" for name, value in figures.items())
