"""Whose word counts how much: nobody among several users swings a posterior alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

_HELD = 10_000


class Crowd:
    """How many decisions each named end user has asked for lately.

    A user's count loses half of itself every `half_life` decisions of the whole service. The
    feedback of a decision counts ``cap / count`` once its user's count is above the cap; the
    figure is fixed and logged with the decision, so that revising feedback stays exact. Requests
    without a user, and a service that knows only one, are never capped.

    Parameters
    ----------
    cap
        Decisions of one user that count in full; None: no cap.
    half_life
        Decisions of the whole service.
    """

    def __init__(self, cap: float | None, half_life: float) -> None:
        self.cap = cap
        self.half_life = half_life
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def trust(self, user: str | None, seq: int) -> float:
        """Return what the feedback of a user's next decision counts, in (0, 1]."""
        if user is None or self.cap is None or not self._others(user):
            return 1.0
        return min(1.0, self.cap / (self._count(user, seq) + 1.0))

    def decided(self, user: str | None, seq: int) -> None:
        """Fold a decision."""
        if user is None:
            return
        self._counts[user] = (self._count(user, seq) + 1.0, seq)
        self._counts.move_to_end(user)
        if len(self._counts) > _HELD:
            self._counts.popitem(last=False)

    def state(self) -> list[list[Any]]:
        """Return the counts, the user seen longest ago first."""
        return [[user, *pair] for user, pair in self._counts.items()]

    def load(self, state: list[Any]) -> None:
        """Take over what `state` returned."""
        self._counts = OrderedDict((user, (count, seq)) for user, count, seq in state)

    def _others(self, user: str) -> bool:
        return len(self._counts) > (user in self._counts)

    def _count(self, user: str, seq: int) -> float:
        count, then = self._counts.get(user, (0.0, seq))
        return float(count * 2.0 ** (-(seq - then) / self.half_life))
