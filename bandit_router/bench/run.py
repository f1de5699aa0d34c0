"""One run of the benchmarks: how long, how much, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """Called with what is being measured; carries how much is to be measured.

    Parameters
    ----------
    tell
        Takes progress.
    seconds
        How long each load on a server lasts.
    steps
        How often each operation of the router is timed.
    events
        Length of the log that is restored, and of the longest one in `growth`.
    profile
        A folder for profiles of what is measured, or None.
    litellm
        LiteLLM's command in another environment, to measure its proxy beside our gateway, or None.
    """

    tell: Callable[[str], None] = lambda what: None
    seconds: float = 3.0
    steps: int = 3000
    events: int = 20_000
    profile: Path | None = None
    litellm: Path | None = None

    def __call__(self, what: str) -> None:
        """Tell what is being measured."""
        self.tell(what)
