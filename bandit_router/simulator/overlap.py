"""Overlap: does a log know enough of what a policy would do to say what it would earn?

Importance weighting can only re-weigh what was tried. Where the logging policy never went, no
estimator but a model knows anything, and the model only guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .ope import Array, Evaluation, effective

FEW = 100.0
"""An effective sample size below this is thin."""

MOSTLY = 0.5
"""Nothing is promised of a policy of which the log never made more than this share of choices."""

_HARDLY_ANY = 10.0
_FEW_SHARE = 0.05
_NEVER = 1e-3  # a probability that a log of some thousand decisions shows nothing of
_UNSEEN = 0.05


@dataclass(frozen=True)
class Overlap:
    """How far a log supports a policy.

    Attributes
    ----------
    verdict
        ``good``; ``thin``: the interval may be too narrow; ``none``: nothing is promised;
        ``unknown``: the log has no propensities.
    ess, ess_share
        Effective sample size, and what share of the decisions that is.
    max_weight
        The largest importance weight.
    unseen
        The share of the policy's choices that the log (hardly) ever made.
    says
        The same in plain words.
    """

    verdict: Literal["good", "thin", "none", "unknown"]
    ess: float
    ess_share: float
    max_weight: float
    unseen: float
    says: str


def overlap(seen: Evaluation, models: Sequence[str], logging: Array | None = None) -> Overlap:
    """Judge how far a log supports a policy.

    Parameters
    ----------
    models
        Names of the columns.
    logging
        The logging policy's probability of every arm, shape (n, arms), where it is known.
    """
    if seen.propensity is None:
        return unknown()
    weights = seen.raw_weights
    chosen = np.bincount(seen.action, minlength=len(models))
    return judged(
        models,
        n=len(seen.action),
        ess=effective(weights),
        mean=float(weights.mean()),
        deviation=float(weights.std()),
        largest=float(weights.max()),
        missed=missed(seen.target, chosen, logging).mean(axis=0),
    )


def missed(target: Array, chosen: NDArray[Any], logging: Array | None) -> Array:
    """Return the part of a policy's choices that the log (hardly) ever made, (n, arms)."""
    never = np.zeros_like(target, dtype=bool)
    never[:, chosen == 0] = True
    if logging is not None:
        never |= logging < _NEVER
    out: Array = target * never
    return out


def judged(
    models: Sequence[str],
    *,
    n: int,
    ess: float,
    mean: float,
    deviation: float,
    largest: float,
    missed: Array,
) -> Overlap:
    """Judge by the importance weights of `n` decisions, and what was `missed` of each arm."""
    unseen = float(missed.sum())
    # Weights have mean 1 if the log can make every choice; far below, some are missing.
    miss = mean < 1.0 - 4.0 * deviation / np.sqrt(n)
    verdict: Literal["good", "thin", "none"] = "good"
    if ess < FEW or ess < _FEW_SHARE * n or unseen > _UNSEEN or miss:
        verdict = "thin"
    if ess < _HARDLY_ANY or unseen > MOSTLY:
        verdict = "none"
    where = ""
    if unseen > _UNSEEN:
        names = [models[i] for i in np.argsort(-missed)[:3] if missed[i] > 0]
        where = f" {unseen:.0%} of its choices the log (hardly) ever made ({', '.join(names)})."
    says = _WORDS[verdict].format(n=n, ess=ess, where=where)
    return Overlap(verdict, ess, ess / n, largest, unseen, says)


def unknown() -> Overlap:
    """Return what is said of a log without propensities."""
    return Overlap("unknown", 0.0, 0.0, 0.0, 0.0, _WORDS["unknown"])


_WORDS = {
    "good": "the log knows enough of it: {n:,} decisions weigh as much as {ess:,.0f}.{where}",
    "thin": "little overlap: {n:,} decisions weigh as much as {ess:,.0f}, so that the intervals "
    "may be too narrow.{where}",
    "none": "no promise: {n:,} decisions weigh as much as {ess:,.0f}.{where} What it would have "
    "earned cannot be told from this log; let the router explore (bandit.floor) and ask again.",
    "unknown": "the log has no propensities: only the direct method, which believes its own "
    "model of the rewards and nothing corrects it.",
}
