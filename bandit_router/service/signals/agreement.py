"""How the words of each source go with those of people, over the newest decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from ...memory import standing
from ...types import History
from ..wire import AgreementAnswer

PEOPLE = "user"
"""The source of feedback that names none, and of signed links."""

Word = tuple[float, float | None, float]
"""A reward, what a person said of the same decision, and what the word counted of its weight."""


def words(histories: Iterable[History]) -> dict[str, list[Word]]:
    """Return what every source said."""
    out: dict[str, list[Word]] = defaultdict(list)
    for history in histories:
        if not history.feedback:
            continue
        said = standing(history)
        person = said[PEOPLE].reward if PEOPLE in said else None
        for source, feedback in said.items():
            if feedback.reward is not None:
                out[source].append((feedback.reward, person, feedback.reliability))
    return out


def agreement(pairs: Iterable[tuple[float, float | None]]) -> AgreementAnswer:
    """Return how two voices go together, where both spoke.

    Examples
    --------
    >>> found = agreement([(0.9, 1.0), (0.2, 0.0), (0.8, 0.0), (0.1, 0.0), (0.7, None)])
    >>> found.decisions, found.same_side, found.kappa
    (4, 0.75, 0.5)
    """
    both = np.array([pair for pair in pairs if pair[1] is not None], dtype=float).reshape(-1, 2)
    if not len(both):
        return AgreementAnswer(decisions=0, same_side=None, kappa=None, correlation=None)
    good = both > 0.5
    same = float((good[:, 0] == good[:, 1]).mean())
    ours, theirs = good.mean(axis=0)
    chance = float(ours * theirs + (1 - ours) * (1 - theirs))
    spread = both.std(axis=0).min() > 0.0
    return AgreementAnswer(
        decisions=len(both),
        same_side=same,
        kappa=(same - chance) / (1.0 - chance) if chance < 1.0 else None,
        correlation=float(np.corrcoef(both.T)[0, 1]) if spread else None,
    )
