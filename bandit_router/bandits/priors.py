"""What is believed of every arm before any evidence: guesses, kin, list prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .belief import Array

_BY_PRICE = 0.03  # quality that an arm e times as dear as the others is expected to have more
_BY_PRICE_MOST = 0.1
_KINSHIP = 4  # the longest chain of arms like arms that a prior is taken along


class Priors:
    """Priors of the arms' levels.

    An arm has the quality that it is given. If none is, it has that of the arm that it is said
    to be like; if it is like none, 0.5, a little more or less by its list price beside the
    others': the dearer model is the better one more often than not.

    Attributes
    ----------
    cost
        List price of a typical request, US dollars, shape (arms,); nan: unknown.
    """

    def __init__(self) -> None:
        self.cost = np.zeros(0)
        self._given = np.zeros(0)  # nan: none
        self._like: list[str] = []  # the name of the arm that each is like, or ""
        self._alone: Array | None = None  # see `_unlike`

    def add_arm(self) -> None:
        """Add an arm of which nothing is believed."""
        self.cost, self._given = np.append(self.cost, np.nan), np.append(self._given, np.nan)
        self._like.append("")
        self._alone = None

    def set(self, arm: int, quality: float | None, cost: float | None, like: str | None) -> None:
        """Set what is believed of an arm; None: nothing."""
        self._given[arm] = np.nan if quality is None else quality
        self.cost[arm] = np.nan if cost is None else cost
        self._like[arm] = like or ""
        self._alone = None

    def kin(self, index: Mapping[str, int]) -> list[int] | None:
        """Return the arm that each is like, itself if none; None if that holds for all.

        `index` has the arms by name; a name that no arm has (yet) is nobody's.
        """
        if not any(self._like):
            return None
        return [index.get(like, i) for i, like in enumerate(self._like)]

    def quality(self, index: Mapping[str, int], weight: Array, level: Array) -> Array:
        """Return each arm's prior mean quality, shape (arms,).

        Parameters
        ----------
        weight, level
            Evidence and level of each arm, which its kin take over.
        """
        if self._alone is None:
            self._alone = self._unlike()
        guess, kin = self._alone.copy(), self.kin(index)
        for _ in range(_KINSHIP if kin else 0):  # an arm without evidence is itself like another
            for i, other in enumerate(kin or ()):
                if other != i and np.isnan(self._given[i]):
                    guess[i] = level[other] if weight[other] > 0 else guess[other]
        return guess

    def _unlike(self) -> Array:
        """Return the prior mean qualities that there would be if no arm were like another."""
        known = self.cost > 0
        price = np.log(np.where(known, self.cost, 1.0))
        middle = price[known].mean() if known.any() else 0.0
        more = np.clip(_BY_PRICE * (price - middle), -_BY_PRICE_MOST, _BY_PRICE_MOST)
        return np.where(np.isnan(self._given), 0.5 + np.where(known, more, 0.0), self._given)

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and names."""
        return {"cost": self.cost, "given": self._given, "like": list(self._like)}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned; another may go on with that."""
        self.cost, self._given = state["cost"].copy(), state["given"].copy()
        self._like = list(state["like"])
        self._alone = None
