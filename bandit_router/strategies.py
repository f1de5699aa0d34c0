"""The strategies that have a part in a service: the live one, the canary, shadows, profiles'.

Each is one policy, and all of them learn from the same events, whoever chose: a shadow that is
made the live one goes on with what it has learnt. One that fails at it harms none of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .config import Settings, strategies_named
from .embedding.base import Projection
from .policies import Lesson, Policy, ThompsonPolicy, make_policy
from .types import Decision, LineageEvent, Model, Training, Vector

_FAILURES = 100

Folded = TypeVar("Folded")


def check_strategies(settings: Settings) -> None:
    """Refuse a strategy that there is not.

    Raises
    ------
    ConfigError
        With the dotted key as `field`.
    """
    for key, name in strategies_named(settings):
        make_policy(name, settings, key=key)


class Strategies:
    """One policy for each strategy that has a part, by name; the live one comes first.

    Parameters
    ----------
    settings
        Say which there are, and how they explore.
    projection
        Into the map's space.

    Attributes
    ----------
    live
        The policy that `bandit.strategy` names.
    needs_judge
        Whether any of them asks an LLM.
    failures
        The newest failures to learn of all the others; whoever logs them takes them out.
    """

    def __init__(self, settings: Settings, projection: Projection | None = None) -> None:
        self.failures: deque[tuple[str, Exception]] = deque(maxlen=_FAILURES)
        self._next_cluster = 1
        self._policies = {
            name: make_policy(name, settings, projection) for name in _names(settings)
        }
        self._rank()

    def configure(
        self, before: Settings, settings: Settings, projection: Projection | None
    ) -> bool:
        """Take over settings: what goes on keeps what it has learnt, the rest is made anew.

        Returns
        -------
        bool
            Whether nobody is left who knows places by their vectors: another kind may come now.
        """
        self._next_cluster = self.next_cluster
        old, live, places = self._policies, self.live, False
        self._policies = {}
        for name in _names(settings):
            policy = old.get(name)
            if policy is not None and not _outdated(policy, before, settings):
                policy.tune(settings.bandit)
                places = places or policy.needs_vector
            else:
                heir_of = policy or live
                policy = make_policy(name, settings, projection, self._next_cluster)
                policy.inherit(heir_of)
            self._policies[name] = policy
        self._rank()
        return not places

    def _rank(self) -> None:
        """Tell the live one from the others."""
        (_, self.live), *self._others = self._policies.items()
        self.needs_judge = any(policy.needs_judge for policy in self)

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._policies.values())

    def __getitem__(self, name: str) -> Policy:
        return self._policies[name]

    @property
    def mapped(self) -> ThompsonPolicy | None:
        """The policy with a map, whatever its part; there is one at most."""
        found = (p for p in self if isinstance(p, ThompsonPolicy) and p.map is not None)
        return next(found, None)

    @property
    def shown(self) -> Policy:
        """The policy whose beliefs are shown: the live one, or the one with a map beside it."""
        return self.live if isinstance(self.live, ThompsonPolicy) else self.mapped or self.live

    @property
    def needs_vector(self) -> bool:
        """Whether any of them asks where a prompt lies."""
        return self.live.needs_vector or any(policy.needs_vector for policy in self)

    @property
    def restorable(self) -> bool:
        """Whether `state` is enough to go on from."""
        return not self.unrestorable

    @property
    def unrestorable(self) -> list[str]:
        """The names of those whose `state` is not enough to go on from."""
        return [name for name, policy in self._policies.items() if not policy.restorable]

    @property
    def next_cluster(self) -> int:
        """The first cluster id that was never used."""
        return max(self._next_cluster, *(policy.next_cluster for policy in self))

    def locate(self, vector: Vector | None) -> tuple[int, ...]:
        """Return the clusters that hold a prompt, coarsest first; () without a map."""
        mapped = self.mapped
        return () if mapped is None else mapped.survey(vector).path

    def observe(self, vector: Vector | None, seq: int, time: float) -> list[LineageEvent]:
        """Fold that a decision was made; return what became of the map's clusters."""
        seen = self.live.observe(vector, seq, time)
        for name, policy in self._others:
            seen = seen + (self._tried(name, policy.observe, vector, seq, time) or [])
        return seen

    def decided(self, decision: Decision) -> None:
        """Fold a decision; `observe` comes after."""
        self.live.decided(decision)
        for name, policy in self._others:
            self._tried(name, policy.decided, decision)

    def learn(self, lesson: Lesson) -> None:
        """Fold a change of what is credited to an arm."""
        self.live.learn(lesson)
        for name, policy in self._others:
            self._tried(name, policy.learn, lesson)

    def train(self, training: Training) -> None:
        """Fold full information on every arm."""
        self.live.train(training)
        for name, policy in self._others:
            self._tried(name, policy.train, training)

    def set_arm(self, model: Model) -> None:
        """Fold that an arm was added or altered."""
        self.live.set_arm(model)
        for name, policy in self._others:
            self._tried(name, policy.set_arm, model)

    def retire_arm(self, arm: str) -> None:
        """Fold that an arm was removed."""
        self.live.retire_arm(arm)
        for name, policy in self._others:
            self._tried(name, policy.retire_arm, arm)

    def _tried(self, name: str, fold: Callable[..., Folded], *event: Any) -> Folded | None:
        """Fold an event into a policy beside the live one, which alone may refuse it."""
        try:
            return fold(*event)
        except Exception as error:
            self.failures.append((name, error))
            return None

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        policies = {name: policy.state() for name, policy in self._policies.items()}
        return {"next_cluster": self.next_cluster, "policies": policies}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._next_cluster = state["next_cluster"]
        for name, inner in state["policies"].items():
            self._policies[name].load(inner)


def _names(settings: Settings) -> list[str]:
    return list(dict.fromkeys(name for _, name in strategies_named(settings)))


def _outdated(policy: Policy, before: Settings, settings: Settings) -> bool:
    """Tell whether new settings mean something else to a policy than it was made for."""
    if not policy.learns or (policy.paces and before.budget != settings.budget):
        return True
    old, new = before.clusterer, settings.clusterer
    space = (before.embedder.name, old.dimensions) != (settings.embedder.name, new.dimensions)
    if isinstance(policy, ThompsonPolicy) and policy.map is not None:
        return space or not old.same_map(new)
    return space and policy.needs_vector
