"""What every way to choose an arm looks like."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import msgspec
import numpy as np

from ..bandits.belief import Array
from ..bandits.credit import Sums
from ..bandits.draws import Draws
from ..candidates import PROPENSITY, Candidates
from ..config import BanditSettings
from ..types import Advice, Candidate, Decision, LineageEvent, Model, Training, Utility, Vector


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy may ask of the world, answered by who drives the router.

    `judge` names a model for ``(prompt, arms)``: a service asks an LLM beforehand. `up` tells
    whether any provider of a model answers. None: there is nobody to ask.
    """

    judge: Callable[[str | None, tuple[str, ...]], Advice] | None = None
    up: Callable[[str], bool] | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a policy sees of one request.

    `arms` are the eligible models, at least one. `vector` is the unit embedding (None if the
    policy said that it needs none), `prompt` the text if the caller gave one.
    """

    arms: tuple[str, ...]
    utility: Utility
    vector: Vector | None = None
    prompt: str | None = None
    outside: Outside = Outside()


class Choice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a policy chose: the arm, where the prompt lies, every candidate's propensity."""

    model: str
    candidates: Sequence[Candidate]
    path: tuple[int, ...] = ()
    exact: bool = True
    propensity_draws: int = 0
    advice: Advice | None = None

    @property
    def propensity(self) -> float:
        """The probability that the arm had."""
        if isinstance(self.candidates, Candidates):
            return self.candidates.number(self.model, PROPENSITY)
        for candidate in self.candidates:
            if candidate.model == self.model:
                return candidate.propensity
        raise AssertionError(f"{self.model!r} is none of the candidates")


class Expectation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an arm is expected to cost (US dollars) and take (milliseconds); None: unknown."""

    cost_usd: float | None = None
    latency_ms: float | None = None


class Lesson(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one event teaches of an arm: the change of the sums credited to it.

    `decision` is the one that taught it; whether its vector is of today's space says `embedded`.
    `sums` are rows of `bandits.credit`; negative where something is taken back. `fresh` says that
    it is the first that is heard of the decision's quality, so that it can be held against what
    was expected; a revision cannot. `total` is all that it has taught of this arm, this event
    included, None where the arm is no longer the credited one.
    """

    arm: str
    sums: Sums
    decision: Decision | None = None
    embedded: bool = True
    fresh: bool = False
    voice: str | None = None
    total: Sums | None = None

    @property
    def vector(self) -> Vector | None:
        """The prompt's unit embedding, a copy; None without one in today's space."""
        return self.decision.embedding() if self.decision and self.embedded else None


class Policy(ABC):
    """A way to choose an arm, and to learn from what came of it.

    `choose` and `expected` change nothing; `observe`, `learn`, `set_arm` and `retire_arm` are
    the fold. A policy does no I/O and holds no generator.
    """

    name: str
    needs_vector = False
    needs_training = False
    needs_judge = False
    learns = True
    """Whether it holds more than settings and arms say; if not, new settings make it anew."""
    paces = False
    """Whether it keeps to a budget by itself."""

    reads = False
    """Whether a prompt's text is told apart; see `sees`."""

    @abstractmethod
    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose one of the context's arms."""

    def sees(self, prompt: str | None) -> Hashable:
        """Return what of a prompt a policy that does not learn goes by.

        Prompts of which it sees the same have the same chances, whatever came before.
        """
        return None

    def expected(self, context: Context) -> dict[str, Expectation]:
        """Return what each arm of the context is expected to cost and take, where known."""
        return {}

    def reference_cost(self) -> float | None:
        """Return what costs are measured by, US dollars a request, or None if nothing is known."""
        return None

    def decided(self, decision: Decision) -> None:
        """Fold that a decision was made, by whichever policy; `observe` comes after."""
        return

    def observe(self, vector: Vector | None, seq: int, time: float) -> list[LineageEvent]:
        """Fold that a decision was made for `vector`."""
        return []

    def learn(self, lesson: Lesson) -> None:
        """Fold a change of what is credited to an arm for one decision."""
        return

    def train(self, training: Training) -> None:
        """Fold full information on every arm, for a policy that is fitted."""
        return

    def set_arm(self, model: Model) -> None:
        """Fold that an arm was added or altered."""
        return

    def retire_arm(self, name: str) -> None:
        """Fold that an arm was removed; its late feedback may still come."""
        return

    def tune(self, settings: BanditSettings) -> None:
        """Take over settings of the same strategy; what was learnt stays."""
        return

    @property
    def next_cluster(self) -> int:
        """The first cluster id that a policy after this one may use."""
        return 1

    def inherit(self, other: Policy) -> None:
        """Take over what holds for any policy from the one before, when settings change."""
        return

    @property
    def restorable(self) -> bool:
        """Whether `state` is enough to go on from."""
        return True

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        return


def known(value: float) -> float | None:
    """Return a number, or None for one that is nan or infinite."""
    return value if math.isfinite(value) else None


def typical_cost(
    model: Model, prompt_tokens: int = 500, completion_tokens: int = 300
) -> float | None:
    """Return the list price of a typical request in US dollars, or None without prices."""
    if model.input_usd_per_m is None and model.output_usd_per_m is None:
        return None
    spent = prompt_tokens * (model.input_usd_per_m or 0.0)
    return (spent + completion_tokens * (model.output_usd_per_m or 0.0)) / 1e6


def dearest(cost: Array) -> float | None:
    """Return the highest of the arms' mean costs (nan: unknown): what cost weights are measured by.

    Not that of the arm that looks best so far: were it a cheap one, every other would look dear,
    be tried less, and never show that it is better.
    """
    known_ = cost[np.isfinite(cost)]
    return float(known_.max(initial=0.0)) or None
