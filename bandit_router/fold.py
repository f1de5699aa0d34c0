"""The state of a router: the fold of its events, its snapshot, and nothing that decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from . import codec, shapes
from .accounts import Accounts, Terms
from .bandits.credit import W
from .bandits.draws import Draws
from .bandits.pacing import BudgetPacer, make_pacer
from .clustering.names import RegionNames
from .config import LEAST_REFERENCE, BanditSettings, BudgetSettings, Settings
from .crowd import Crowd
from .eligibility import Roster
from .embedding import shipped_projection
from .exceptions import BanditRouterError, StoreError
from .memory import Memory, Recall, expected_cost, settle, spoken, standing, with_event
from .policies import Lesson, Policy
from .sessions import Sessions
from .sources import Sources
from .strategies import Strategies
from .types import (
    Change,
    Decision,
    Event,
    Feedback,
    History,
    KillSwitch,
    LineageEvent,
    Model,
    Outcome,
    Training,
)
from .views import ArmView, ClusterView, arm_views, cluster_views

FOLD_VERSION = 23
"""Changes whenever the same events would give another state: older snapshots are then stale."""


class Fold:
    """What a log of events comes to; `apply` alone changes it.

    Attributes
    ----------
    seq, time
        Of the last event.
    models, settings
        As the events left them.
    roster
        What follows from the models.
    strategies, pacer, sessions, users, keys, accounts, sources
        What was learnt; the pacer is None without a budget.
    killed
        The model that every request is given to, None if the strategies decide.
    """

    def _begin(self, recall: Recall | None) -> None:
        self.seq = 0
        self.time = 0.0
        self.models: dict[str, Model] = {}
        self.roster = Roster(self.models)
        self.settings = Settings()
        self.strategies = Strategies(_NOBODY)
        self.killed: KillSwitch | None = None
        self.pacer: BudgetPacer | None = None
        self.sessions = Sessions()
        self.users = Crowd(None, 1.0)
        self.keys = Crowd(None, 1.0)
        self.accounts = Accounts()
        self.sources = Sources()
        self.names = RegionNames()
        self._draws = Draws(0)
        self._dimension: int | None = None
        self._drawn_at = 0  # the event that the map was last drawn anew by
        self._projection_digest: str | None = None
        self._memory = Memory(recall)

    @property
    def policy(self) -> Policy:
        """The policy of the live strategy."""
        return self.strategies.live

    def apply(self, event: Event) -> tuple[LineageEvent, ...]:
        """Fold one event; return what became of clusters.

        Raises
        ------
        StoreError
            If it is not the next event.
        """
        if event.seq != self.seq + 1:
            raise StoreError(f"event {event.seq} does not follow event {self.seq}")
        lineage: tuple[LineageEvent, ...] = ()
        if type(event) is Decision:  # which takes a quarter of what `isinstance` does
            vector = event.embedding()
            if vector is not None and self._dimension is None:
                self._dimension = len(vector)
            self._memory.put(History(decision=event))
            self.book(event)
            self.strategies.decided(event)
            lineage = tuple(self.strategies.observe(vector, event.seq, event.time))
            self.names.follow(lineage)
            if event.prompt is not None:
                self.read(event, event.prompt)
        elif type(event) is Change:
            self._change(event)
        else:
            self._learn(event)
        self.seq = event.seq
        if event.time > self.time:
            self.time = event.time
        return lineage

    def book(self, decision: Decision) -> None:
        """Fold what a decision means for the next ones before anything is learnt from it.

        Conversations, voices and budgets. Part of `apply`; alone it serves a replica, whose
        state is another's fold, until its own decisions come back to it in that.
        """
        self.sessions.decided(decision)
        self.users.decided(decision.request.user, decision.trust)
        self.keys.decided(decision.request.key, decision.trust)
        self.accounts.decided(decision)
        if self.pacer:
            asking = decision.advice.cost_usd if decision.advice else 0.0
            self.pacer.decided(decision.candidates, expected_cost(decision) + asking, decision.time)

    def _learn(self, event: Outcome | Feedback) -> None:
        history = self._memory.history(event.decision_id, event.seq)
        after = with_event(history, event)
        self._memory.put(after)
        old = settle(history, self.settings.feedback)
        new = settle(after, self.settings.feedback)
        decision = history.decision
        steps = old.until(new)
        for arm, sums in steps:
            if any(sums):
                # A voice that has used up its cap no longer tells that an arm has changed.
                fresh = len(steps) == 1 and old.sums[W] == 0.0 and decision.trust == 1.0
                lesson = Lesson(
                    arm=arm,
                    sums=sums,
                    decision=decision,
                    # A vector of another space than that of today's map is of no use.
                    embedded=decision.seq > self._drawn_at,
                    fresh=fresh,
                    voice=self._voice(decision) if decision.capped else None,
                    total=new.sums if arm == new.arm else None,
                )
                self.strategies.learn(lesson)
        key = decision.request.key
        if self.pacer or key is not None:
            expected = expected_cost(decision)
            difference = new.cost(expected) - old.cost(expected)
            if self.pacer:
                self.pacer.spent(difference, decision.time)
            self.accounts.spent(key, difference, decision.time)
        if isinstance(event, Feedback) and event.reward is not None:
            self._hear(history, event.source, event.reward)

    def _voice(self, decision: Decision) -> str | None:
        """Return whose word the feedback of a decision is that is capped."""
        asked = decision.request
        return asked.key if self.keys.caps(asked.key) else asked.user

    def _hear(self, history: History, source: str, reward: float) -> None:
        """Let a source's word be held against what had been expected of the arm chosen."""
        expected = history.decision.expected_quality
        if expected is None:
            return
        name = spoken(history.decision, source)
        before = standing(history).get(source) if history.feedback else None
        if before is not None and before.reward is not None:
            self.sources.heard(name, before.reward, expected, sign=-1.0)
        self.sources.heard(name, reward, expected)

    def _change(self, event: Change) -> None:
        if event.what == "model_removed":
            del self.models[event.body["name"]]
            self.strategies.retire_arm(event.body["name"])
        elif event.what == "model_set":
            model = msgspec.convert(event.body, Model)
            self.models[model.name] = model
            self.strategies.set_arm(model)
        elif event.what == "kill_switch":
            self._kill(event.body["model"], event.time, event.body["reason"])
        elif event.what == "trained":
            self.strategies.train(msgspec.convert(event.body, Training))
        elif event.what == "keys":
            self._know_keys(event)
        elif event.what == "erased":
            self._memory.erase(event.body["decision_ids"])
        elif event.what == "spent":
            self.accounts.spent(event.body["key"], event.body["usd"], event.time)
        else:
            self._configure(event)
        self.roster = Roster(self.models)

    def _configure(self, event: Change) -> None:
        before = self.settings
        self.settings = msgspec.convert(event.body["settings"], Settings)
        models = msgspec.convert(event.body["models"], tuple[Model, ...])
        self._projection_digest = event.body["projection"]
        map_ = self.strategies.mapped
        if self.strategies.configure(before, self.settings, self._projection()):
            self._dimension, self._drawn_at = None, self.seq + 1
        if self.strategies.mapped is not map_:
            self.names = RegionNames()
        if before.bandit.kill_switch != (model := self.settings.bandit.kill_switch):
            self._kill(model, event.time, "bandit.kill_switch")
        self._tune_crowd()
        self._tune_pacer(before.budget)
        for name in [name for name in self.models if name not in {m.name for m in models}]:
            self.strategies.retire_arm(name)
        self.models = {model.name: model for model in models}
        for arm in models:
            self.strategies.set_arm(arm)

    def _kill(self, model: str | None, time: float, reason: str) -> None:
        switch = None if model is None else KillSwitch(model=model, since=time, reason=reason)
        self.killed = switch

    def _tune_pacer(self, before: BudgetSettings) -> None:
        budget = self.settings.budget
        if self.pacer is not None and budget == before:
            return
        old, self.pacer = self.pacer, make_pacer(budget.usd_per_request, budget.usd_per_day)
        if old is not None and self.pacer is not None:  # what is known of prices stays
            self.pacer.follow(old)

    def _tune_crowd(self) -> None:
        said = self.settings.feedback
        self.users.cap, self.users.half_life = said.user_cap, said.user_window
        self.keys.cap, self.keys.half_life = said.key_cap, said.user_window

    def _know_keys(self, event: Change) -> None:
        """Take the keys there are; those that can give feedback are voices among others."""
        terms = msgspec.convert(event.body["keys"], dict[str, Terms])
        for key in self.accounts.terms.keys() - terms.keys():
            self.keys.forget(key)
        for key, term in terms.items():
            if term.feedback:
                self.keys.known(key)
        self.accounts.agree(terms)

    def read(self, decision: Decision, prompt: str) -> None:
        """Let the region of a decision be named after its prompt too; no part of the state."""
        if self.settings.clusterer.names and decision.path and decision.path[0]:
            keep = self.settings.store.keep_prompts
            self.names.read(decision.path[0], prompt, keep=keep)

    @property
    def reference_cost_usd(self) -> float:
        """The cost that a cost weight is measured by: as set, else that of the dearest arm.

        Where all arms cost next to nothing, a dollar.
        """
        return self._reference_cost()

    def _reference_cost(self) -> float:  # what every decision asks: a property takes longer
        ours = self.settings.bandit.reference_cost_usd
        dearest = ours or self.strategies.live.reference_cost() or 0.0
        return dearest if dearest >= LEAST_REFERENCE else 1.0

    def arms(self) -> tuple[ArmView, ...]:
        """Return what is believed of every arm over the whole map."""
        return arm_views(self.strategies.shown, list(self.models))

    def clusters(self) -> list[ClusterView]:
        """Return every live cluster with its arms, coarsest level first."""
        return list(self.each_cluster())

    def each_cluster(self) -> Iterator[ClusterView]:
        """Yield what `clusters` returns; between two, other work may be done."""
        return cluster_views(self.strategies.shown, list(self.models), names=self.names)

    def cluster(self, id_: int) -> ClusterView:
        """Return a live cluster.

        Raises
        ------
        LookupError
            If there is none of this id.
        """
        shown = self.strategies.shown
        for found in cluster_views(shown, list(self.models), id_, names=self.names):
            return found
        raise LookupError(f"no live cluster {id_}")

    def forget_until(self, seq: int) -> None:
        """Know no decision up to event `seq`, until called with 0; no part of the state."""
        self._memory.forget_until(seq)

    def history(self, decision_id: str) -> History:
        """Return a decision and all that was said of it.

        Raises
        ------
        UnknownDecision
            If there is none of that id.
        """
        return self._memory.history(decision_id, self.seq + 1)

    @property
    def restorable(self) -> bool:
        """Whether a snapshot is enough to restart from (else the whole log is folded)."""
        return self.strategies.restorable

    def snapshot(self) -> bytes:
        """Return the state, in bytes that are equal for equal states."""
        return codec.encode_state(
            {
                "fold_version": FOLD_VERSION,
                "seq": self.seq,
                "time": self.time,
                "dimension": self._dimension,
                "drawn_at": self._drawn_at,
                "projection": self._projection_digest,
                "settings": msgspec.to_builtins(self.settings),
                "models": msgspec.to_builtins(tuple(self.models.values())),
                "strategies": self.strategies.state(),
                "killed": msgspec.to_builtins(self.killed),
                "pacer": self.pacer and self.pacer.state(),
                "sessions": self.sessions.state(),
                "users": self.users.state(),
                "keys": self.keys.state(),
                "accounts": self.accounts.state(),
                "sources": self.sources.state(),
            }
        )

    def _take(self, body: bytes) -> None:
        """Take over what `snapshot` returned; whatever else it is, is refused."""
        try:
            self._load(codec.decode_state(body))
        except BanditRouterError:
            raise
        except _NO_STATE as error:
            raise StoreError(
                f"the snapshot is damaged ({type(error).__name__}: {error}): use another, or the "
                "whole log"
            ) from error

    def _load(self, state: dict[str, Any]) -> None:
        if state["fold_version"] != FOLD_VERSION:
            raise StoreError(
                f"the snapshot is of fold version {state['fold_version']}, "
                f"this is version {FOLD_VERSION}: fold the whole log"
            )
        shapes.check(state)
        self.settings = msgspec.convert(state["settings"], Settings)
        self._projection_digest = state["projection"]
        models = msgspec.convert(state["models"], tuple[Model, ...])
        self.models = {model.name: model for model in models}
        self.roster = Roster(self.models)
        self.strategies = Strategies(self.settings, self._projection())
        self.strategies.load(state["strategies"])
        self.killed = msgspec.convert(state["killed"], KillSwitch | None)
        self.sessions.load(state["sessions"])
        self._tune_crowd()
        self.users.load(state["users"])
        self.keys.load(state["keys"])
        self.accounts.load(state["accounts"])
        self.sources.load(state["sources"])
        budget = self.settings.budget
        self.pacer = make_pacer(budget.usd_per_request, budget.usd_per_day)
        if self.pacer is not None:
            self.pacer.load(state["pacer"])
        self.seq, self.time = state["seq"], state["time"]
        self._dimension, self._drawn_at = state["dimension"], state["drawn_at"]

    def _projection(self) -> Any:
        projection = shipped_projection(self.settings.embedder.name)
        digest = projection.digest if projection else None
        if digest != self._projection_digest:
            raise StoreError(
                "this log was written with another projection into the map's space "
                f"({self._projection_digest}); this release ships {digest}"
            )
        return projection and projection.first(self.settings.clusterer.dimensions)


_NO_STATE = (
    msgspec.MsgspecError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""What comes of taking other bytes for a state."""

_NOBODY = Settings(bandit=BanditSettings(strategy="random"))
"""Before the first event."""
