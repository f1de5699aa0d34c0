"""What three voices agree on: nobody alone may tell that the world has changed."""

from __future__ import annotations

from statistics import median

_SEATS = 3


class Jury:
    """Waits for observations of three different voices, and passes on their median.

    A single liar among them, however loud, moves the median no further than an honest voice
    does. Where nobody is told apart every observation passes as it is.

    Examples
    --------
    >>> jury = Jury()
    >>> [jury.hear(voice, x) for voice, x in [("liar", -0.9), ("liar", -0.9), ("a", 0.1)]]
    [None, None, None]
    >>> jury.hear("b", 0.2)
    0.1
    >>> jury.hear(None, 0.7)
    0.7
    """

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def hear(self, voice: str | None, value: float) -> float | None:
        """Fold what a voice observed; return what the jury has found when it is complete."""
        if voice is None:
            return value
        self._said[voice] = value
        if len(self._said) < _SEATS:
            return None
        found = median(self._said.values())
        self._said.clear()
        return found

    def state(self) -> dict[str, float]:
        """Return what has been said."""
        return dict(self._said)

    def load(self, state: dict[str, float]) -> None:
        """Take over what `state` returned."""
        self._said = dict(state)
