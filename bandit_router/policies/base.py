"""What every way to choose an arm looks like."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..bandits.belief import Array, Belief
from ..compiled import compiled
from ..config import BanditSettings
from ..types import Advice, Candidate, Decision, LineageEvent, Model, Training, Utility, Vector

_FIELDS = 8  # numbers of a candidate before its support


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
    candidates: tuple[Candidate, ...]
    path: tuple[int, ...] = ()
    exact: bool = True
    propensity_draws: int = 0
    advice: Advice | None = None

    @property
    def propensity(self) -> float:
        """The probability that the arm had."""
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

    `path` and `vector` are those of the decision (no vector: of another space than today's).
    `sums` are rows of `bandits.credit`; negative where something is taken back. `fresh` says that
    it is the first that is heard of the decision's quality, so that it can be held against what
    was expected; a revision cannot. `decision` is the one that taught it; `total` is all that it
    has taught of this arm, this event included, None where the arm is no longer the credited one.
    """

    arm: str
    sums: Array
    path: tuple[int, ...] = ()
    vector: Vector | None = None
    fresh: bool = False
    voice: str | None = None
    decision: Decision | None = None
    total: Array | None = None


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

    @abstractmethod
    def choose(self, context: Context, rng: np.random.Generator) -> Choice:
        """Choose one of the context's arms."""

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


def candidates(
    arms: Sequence[str],
    index: Mapping[str, int],
    belief: Belief,
    chance: Array,
    utility: Array,
    drawn: Array,
) -> tuple[Candidate, ...]:
    """Return what was believed of each of `arms`, from rows by `index`."""
    rows = _records(
        chance,
        belief.quality,
        belief.quality_var,
        belief.cost,
        belief.latency,
        utility,
        drawn,
        belief.evidence,
        belief.support,
    ).tolist()
    out = []
    for arm in arms:
        row = rows[index[arm]]
        chance_, quality, sd, cost, latency, mean, draw, evidence = row[:_FIELDS]
        out.append(
            Candidate(
                model=arm,
                propensity=chance_,
                quality=quality,
                quality_sd=sd,
                cost_usd=cost if cost == cost else None,  # nan: unknown
                latency_ms=latency if latency == latency else None,
                utility=mean,
                draw=draw,
                evidence=evidence,
                support=tuple(row[_FIELDS:]),
            )
        )
    return tuple(out)


@compiled
def _records(
    chance: Array,
    quality: Array,
    quality_var: Array,
    cost: Array,
    latency: Array,
    utility: Array,
    drawn: Array,
    evidence: Array,
    support: Array,
) -> Array:
    """Return the numbers of every arm's candidate, in their order, as one row each."""
    out = np.empty((len(chance), _FIELDS + len(support)))
    for a in range(len(chance)):
        out[a, 0] = chance[a]
        out[a, 1] = min(max(quality[a], 0.0), 1.0)
        out[a, 2] = np.sqrt(quality_var[a])
        out[a, 3] = cost[a]
        out[a, 4] = latency[a]
        out[a, 5] = utility[a]
        out[a, 6] = drawn[a]
        out[a, 7] = evidence[a]
        for level in range(len(support)):
            out[a, _FIELDS + level] = support[level, a]
    return out


@lru_cache(maxsize=1024)
def eligible_rows(arms: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which of `arms` are `wanted`, shape (arms,); not to be written to."""
    return np.array([arm in wanted for arm in arms], dtype=np.bool_)


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
