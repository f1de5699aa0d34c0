"""Why a model was chosen, in words and as data."""

from __future__ import annotations

from typing import Any

import msgspec

from .candidates import plain
from .types import Candidate, Decision
from .views import interval

LITTLE = 5.0
"""Weight of feedback in a cluster; an estimate on less leans on the rest of the map."""


def as_data(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON-able data, its vector left out."""
    data: dict[str, Any] = msgspec.to_builtins(decision, builtin_types=(bytes,), enc_hook=plain)
    del data["vector"]
    for candidate, row in zip(decision.candidates, data["candidates"], strict=True):
        bounds = quality_interval(candidate)
        row["quality_interval"] = None if bounds is None else list(bounds)
        row["insufficient_evidence"] = insufficient(candidate)
    return data


def as_text(decision: Decision) -> str:
    """Return a decision as a table with a line of explanation."""
    where = f"cluster {decision.cluster}" if decision.cluster else "the whole map"
    lines = [
        f"{decision.model}  (propensity {decision.propensity:.3f}, {where}, {decision.policy})",
        "",
        f"{'model':32} {'propensity':>10} {'quality':>8} {'95 % interval':>16} "
        f"{'cost USD':>10} {'utility':>8} {'draw':>8} {'evidence':>9}  whole map > ... > here",
    ]
    ranked = sorted(decision.candidates, key=lambda c: -c.propensity)
    lines += [_row(candidate) for candidate in ranked]
    if any(insufficient(c) for c in ranked):
        lines += [
            "",
            f"* insufficient evidence here: fewer than {LITTLE:g} feedbacks; "
            "the estimate leans on the rest of the map",
        ]
    return "\n".join(lines)


def insufficient(candidate: Candidate) -> bool:
    """Tell whether the estimate rests on next to nothing that was seen in this cluster."""
    return candidate.quality is not None and candidate.evidence < LITTLE


def quality_interval(candidate: Candidate) -> tuple[float, float] | None:
    """Return the 95 % interval of an arm's quality here, where it is known."""
    if candidate.quality is None or candidate.quality_sd is None:
        return None
    return interval(candidate.quality, candidate.quality_sd)


def _row(c: Candidate) -> str:
    bounds = quality_interval(c)
    shown = f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else ""
    star = "*" if insufficient(c) else " "
    return (
        f"{c.model[:31]:31}{star} {c.propensity:10.3f} {_number(c.quality, '.3f'):>8} {shown:>16} "
        f"{_number(c.cost_usd, '.3g'):>10} {_number(c.utility, '.3f'):>8} "
        f"{_number(c.draw, '.3f'):>8} {c.evidence:9.1f}  "
        + " > ".join(f"{weight:.4g}" for weight in c.support)
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
