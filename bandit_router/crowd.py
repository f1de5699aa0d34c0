"""Whose word counts how much: nobody among several voices swings a posterior alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

_HELD = 10_000


class Crowd:
    """What the feedback of each voice (an end user, an API key) has been let count lately.

    The decisions of one voice count in full until they have counted `cap`; that sum loses half of
    itself every `half_life` decisions of the whole service, and what it loses may be used again.
    So no voice's weight within the window is ever above the cap. The figure is fixed and logged
    with the decision, so that revising feedback stays exact. Requests without a voice, and a
    service that knows only one, are never capped.

    Parameters
    ----------
    cap
        Decisions of one voice that count in full; None: no cap.
    half_life
        Decisions of the whole service.

    Examples
    --------
    >>> crowd = Crowd(cap=20, half_life=1000)
    >>> crowd.decided("quiet", 1.0)
    >>> counted = 0.0
    >>> for _ in range(500):
    ...     trust = crowd.trust("loud")
    ...     crowd.decided("loud", trust)
    ...     counted += trust
    >>> 20 < counted < 30, crowd.trust("quiet")
    (True, 1.0)
    """

    def __init__(self, cap: float | None, half_life: float) -> None:
        self.cap = cap
        self.half_life = half_life
        self._decisions = 0
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def caps(self, voice: str | None) -> bool:
        """Tell whether a voice is one among several, of whom none may count too much."""
        others = len(self._counted) > (voice in self._counted)
        return voice is not None and self.cap is not None and others

    def trust(self, voice: str | None) -> float:
        """Return what the feedback of a voice's next decision counts, in [0, 1]."""
        if voice is None or self.cap is None or not self.caps(voice):
            return 1.0
        return min(1.0, max(0.0, self.cap - self._sum(voice)))

    def known(self, voice: str) -> None:
        """Count a voice among those there are, before it has asked for anything."""
        self._counted.setdefault(voice, (0.0, self._decisions))

    def forget(self, voice: str) -> None:
        """No longer count a voice among those there are."""
        self._counted.pop(voice, None)

    def decided(self, voice: str | None, trust: float) -> None:
        """Fold a decision whose feedback counts `trust`."""
        self._decisions += 1
        if voice is None:
            return
        most = float("inf") if self.cap is None else self.cap
        self._counted[voice] = (min(self._sum(voice) + trust, most), self._decisions)
        self._counted.move_to_end(voice)
        if len(self._counted) > _HELD:
            self._counted.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """Return the sums, the voice heard longest ago first."""
        voices = [[voice, *pair] for voice, pair in self._counted.items()]
        return {"decisions": self._decisions, "voices": voices}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._decisions = state["decisions"]
        self._counted = OrderedDict((voice, (sum_, at)) for voice, sum_, at in state["voices"])

    def _sum(self, voice: str) -> float:
        counted, then = self._counted.get(voice, (0.0, self._decisions))
        return float(counted * 2.0 ** (-(self._decisions - then) / self.half_life))
