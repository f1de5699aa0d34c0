"""The router: embed, locate, choose, explain, learn. Pure; time and seed come in.

A `Router` is the fold of its events: `apply` alone changes it. `decide`, `judge`, `change` and
`outcome` only make the next event, so a service can write the event to disk before (or after)
folding it; `route` and `feedback` do both at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from . import codec
from .bandits.pacing import BudgetPacer
from .clustering.names import RegionNames
from .config import ClustererSettings, Settings, check_models
from .crowd import Crowd
from .eligibility import affordable, eligible_arms, unknown_model, with_profile, within_limits
from .embedding import Embedder, SentenceTransformerEmbedder, shipped_projection
from .exceptions import InvalidInput, StoreError
from .memory import (
    Memory,
    Recall,
    check_feedback,
    expected_cost,
    price,
    settle,
    standing,
    with_event,
)
from .policies import Choice, Context, Lesson, Policy, make_policy
from .sessions import Sessions, stay_or_go
from .types import (
    Change,
    Decision,
    Event,
    Feedback,
    FeedbackStatus,
    History,
    LineageEvent,
    Model,
    Outcome,
    Request,
    Training,
    Utility,
    Vector,
    unit,
)
from .views import ArmView, ClusterView, arm_views, cluster_views

FOLD_VERSION = 7
"""Changes whenever the same events would give another state: older snapshots are then stale."""

OWN_VECTORS = "none"
"""The embedder's name where the caller brings vectors."""


class Router:
    """Routes prompts to models, and learns from what comes back.

    Parameters
    ----------
    models
        The arms: `Model` values, or names alone.
    settings
        Strategy, map, trade-offs; see `bandit_router.config`.
    embedder
        Text to vector: an `Embedder`, a name (``"minilm"``, a sentence-transformers name or
        folder), ``"none"`` for vectors of the caller's own, or None for what the settings say.
        Nothing is loaded before the first text is routed.
    recall
        Looks old decisions up in a log, so that late feedback finds them; without it the most
        recent 50,000 are held in memory.

    Examples
    --------
    >>> import numpy as np
    >>> router = Router(["small", "large"], embedder="none")
    >>> decision = router.route(vector=np.array([1.0, 0.0]))
    >>> router.feedback(decision.decision_id, 1.0)
    'recorded'
    >>> router.feedback(decision.decision_id, 1.0)
    'duplicate'
    """

    def __init__(
        self,
        models: Sequence[Model | str],
        *,
        settings: Settings | None = None,
        embedder: Embedder | str | None = None,
        recall: Recall | None = None,
    ) -> None:
        settings = settings or Settings()
        if embedder is not None:
            name = embedder if isinstance(embedder, str) else embedder.name
            named = msgspec.structs.replace(settings.embedder, name=name)
            settings = msgspec.structs.replace(settings, embedder=named)
        self._start(embedder, recall)
        self.initial = self.configuration(settings, models)
        self.apply(self.initial)

    @classmethod
    def restore(
        cls,
        events: Iterable[Event],
        *,
        state: bytes | None = None,
        embedder: Embedder | None = None,
        recall: Recall | None = None,
    ) -> Router:
        """Return the router that a log (and a snapshot of it) stands for.

        Parameters
        ----------
        events
            Every event after the snapshot, or the whole log if there is none.
        state
            What `snapshot` returned.

        Raises
        ------
        StoreError
            If the events do not follow one another, or the snapshot is of another version.
        """
        router = cls.__new__(cls)
        router._start(embedder, recall)
        if state is not None:
            router._load(codec.decode_state(state))
        for event in events:
            router.apply(event)
        if not router.seq:
            raise StoreError("the log is empty: there is nothing to restore")
        return router

    def _start(self, embedder: Embedder | str | None, recall: Recall | None) -> None:
        self.seq = 0
        self.time = 0.0
        self.models: dict[str, Model] = {}
        self.settings = Settings()
        self.policy: Policy = make_policy("random", self.settings)
        self.pacer: BudgetPacer | None = None
        self.sessions = Sessions()
        self.crowd = Crowd(None, 1.0)
        self._dimension: int | None = None
        self._projection_digest: str | None = None
        self._embedder = None if isinstance(embedder, str) else embedder
        self._memory = Memory(recall)
        self.names = RegionNames()

    # -- making events: nothing below changes the router -------------------------------------

    def decide(
        self,
        prompt: str | None = None,
        *,
        vector: Any = None,
        request: Request | None = None,
        time: float | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """Choose a model for a prompt.

        Parameters
        ----------
        prompt
            The text; embedded if no `vector` is given and the strategy needs one.
        vector
            An embedding of the prompt, any length but 0; brought to norm 1.
        request
            Trade-offs and constraints of this request.
        time
            Seconds; never before that of the last event. None: that of the last event.
        decision_id
            A name for the decision; None numbers it.

        Returns
        -------
        Decision
            The event that `apply` folds.

        Raises
        ------
        InvalidInput
            If prompt, vector or a field of the request cannot be used; `field` names it.
        NoEligibleArm
            If no model satisfies the constraints.
        """
        request = with_profile(request or Request(), self.settings.profiles)
        if prompt is None and vector is None:
            raise InvalidInput("give a prompt, or the embedding of one", "prompt")
        if vector is None and self.policy.needs_vector:
            vector = self.embed(prompt or "")
        unit_vector = None if vector is None else self._checked(vector)
        seq = self.seq + 1
        context = Context(
            arms=eligible_arms(self.models, request, prompt),
            utility=self.utility(request),
            vector=unit_vector,
            prompt=prompt,
        )
        context = within_limits(context, request, self.policy)
        if self.pacer:
            context = affordable(context, self.pacer.limit_usd, self.policy)
        rng = np.random.default_rng([self.settings.bandit.seed, seq])
        choice = self.policy.choose(context, rng)
        current = self.sessions.model(request.session_id)
        if current in context.arms and current in self.models:
            margin = self.settings.bandit.session_margin
            choice = stay_or_go(choice, self.models[current], prompt, context.utility, margin)
        return self._decision(choice, context, request, seq, self._now(time), decision_id)

    def judge(
        self, feedback: Feedback, *, time: float | None = None
    ) -> tuple[FeedbackStatus, Feedback | None]:
        """Return what a feedback is, and the event that `apply` folds (None for a duplicate).

        Raises
        ------
        InvalidInput
            If a value is out of range; `field` names it.
        UnknownDecision
            If the decision is not known.
        """
        check_feedback(feedback)
        history = self._memory.history(feedback.decision_id, self.seq + 1)
        event = msgspec.structs.replace(
            feedback,
            seq=self.seq + 1,
            time=self._now(time),
            cost_usd=price(feedback, self.models.get(history.answered_by)),
        )
        before = standing(history).get(feedback.source)
        if before is None:
            return "recorded", event
        after = standing(with_event(history, event))[feedback.source]
        if before.same_content(after):
            return "duplicate", None
        return "updated", event

    def outcome(self, outcome: Outcome, *, time: float | None = None) -> Outcome:
        """Return the event of what serving observed.

        Raises
        ------
        UnknownDecision, UnknownModel
            If decision or model are not known.
        """
        self._memory.history(outcome.decision_id, self.seq + 1)
        if outcome.model not in self.models:
            raise unknown_model(outcome.model, self.models, "model")
        return msgspec.structs.replace(
            outcome,
            seq=self.seq + 1,
            time=self._now(time),
            cost_usd=price(outcome, self.models[outcome.model]),
        )

    def change(
        self,
        what: Literal["model_set", "model_removed", "trained"],
        body: dict[str, Any],
        *,
        time: float | None = None,
    ) -> Change:
        """Return the event of an arm set (`body`: its fields) or removed (`body`: its name).

        Raises
        ------
        InvalidInput
            If the model cannot be used; `field` names what is wrong.
        """
        if what == "model_removed":
            if body["name"] not in self.models:
                raise unknown_model(body["name"], self.models, "name")
            body = {"name": body["name"]}
        elif what == "trained":
            body = msgspec.to_builtins(msgspec.convert(body, Training), builtin_types=(bytes,))
        else:
            model = msgspec.convert(body, Model)
            check_models((model,))
            body = msgspec.to_builtins(model)
        return Change(seq=self.seq + 1, time=self._now(time), what=what, body=body)

    def configuration(
        self, settings: Settings, models: Sequence[Model | str], *, time: float | None = None
    ) -> Change:
        """Return the event that sets settings and models as a whole; the first of every log."""
        arms = tuple(m if isinstance(m, Model) else Model(name=m) for m in models)
        check_models(arms)
        projection = shipped_projection(settings.embedder.name)
        make_policy(settings.bandit.strategy, settings)  # a wrong name shows here
        body = {
            "settings": msgspec.to_builtins(settings),
            "models": msgspec.to_builtins(arms),
            "projection": projection.digest if projection else None,
        }
        return Change(seq=self.seq + 1, time=self._now(time), what="configured", body=body)

    # -- the fold ---------------------------------------------------------------------------

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
        if isinstance(event, Decision):
            vector = event.embedding()
            if vector is not None and self._dimension is None:
                self._dimension = len(vector)
            self._memory.put(History(decision=event))
            self.sessions.decided(event)
            self.crowd.decided(event.request.user, event.seq)
            if self.pacer:
                self.pacer.decided(event.candidates, expected_cost(event))
            lineage = tuple(self.policy.observe(vector, event.seq, event.time))
            self.names.follow(lineage)
            if event.prompt is not None:
                self.read(event, event.prompt)
        elif isinstance(event, Change):
            self._change(event)
        else:
            self._learn(event)
        self.seq, self.time = event.seq, max(self.time, event.time)
        return lineage

    def _learn(self, event: Outcome | Feedback) -> None:
        history = self._memory.history(event.decision_id, event.seq)
        after = with_event(history, event)
        self._memory.put(after)
        old, new = (settle(h, self.settings.feedback) for h in (history, after))
        decision = history.decision
        if old.arm == new.arm:
            steps = [(new.arm, new.sums - old.sums)]
        else:
            steps = [(old.arm, -old.sums), (new.arm, new.sums)]
        for arm, sums in steps:
            if sums.any():
                lesson = Lesson(arm=arm, sums=sums, path=decision.path, vector=decision.embedding())
                self.policy.learn(lesson)
        if self.pacer:
            expected = expected_cost(decision)
            self.pacer.spent(new.cost(expected) - old.cost(expected))

    def _change(self, event: Change) -> None:
        if event.what == "model_removed":
            del self.models[event.body["name"]]
            self.policy.retire_arm(event.body["name"])
        elif event.what == "model_set":
            model = msgspec.convert(event.body, Model)
            self.models[model.name] = model
            self.policy.set_arm(model)
        elif event.what == "trained":
            self.policy.train(msgspec.convert(event.body, Training))
        else:
            self._configure(event)

    def _configure(self, event: Change) -> None:
        before = self.settings
        self.settings = msgspec.convert(event.body["settings"], Settings)
        models = msgspec.convert(event.body["models"], tuple[Model, ...])
        self._projection_digest = event.body["projection"]
        rebuilt = (
            self.seq == 0
            or before.bandit.strategy != self.settings.bandit.strategy
            or before.clusterer != _but_for_names(self.settings.clusterer, before.clusterer)
            or before.embedder.name != self.settings.embedder.name
        )
        if rebuilt:
            self._rebuild()
        else:
            self.policy.tune(self.settings.bandit)
        self._tune_crowd()
        ceiling = self.settings.budget.usd_per_request
        if ceiling is None or self.pacer is None:
            self.pacer = None if ceiling is None else BudgetPacer(ceiling)
        else:
            self.pacer.ceiling_usd = ceiling
        for name in [name for name in self.models if name not in {m.name for m in models}]:
            self.policy.retire_arm(name)
        self.models = {model.name: model for model in models}
        for model in models:
            self.policy.set_arm(model)

    def _tune_crowd(self) -> None:
        self.crowd.cap = self.settings.feedback.user_cap
        self.crowd.half_life = self.settings.feedback.user_window

    def _rebuild(self) -> None:
        """Make the policy anew; what the old one knew of the whole map is handed on."""
        old, self._dimension = self.policy, None
        self.names = RegionNames()
        projection = self._projection()
        self.policy = make_policy(
            self.settings.bandit.strategy, self.settings, projection, old.next_cluster
        )
        self.policy.inherit(old)

    # -- both at once -----------------------------------------------------------------------

    def route(
        self,
        prompt: str | None = None,
        *,
        vector: Any = None,
        request: Request | None = None,
        time: float | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """Choose a model for a prompt and let the map learn it; see `decide`."""
        decision = self.decide(
            prompt, vector=vector, request=request, time=time, decision_id=decision_id
        )
        self.apply(decision)
        if prompt is not None and decision.prompt is None:
            self.read(decision, prompt)
        return decision

    def read(self, decision: Decision, prompt: str) -> None:
        """Let the region of a decision be named after its prompt too; no part of the state."""
        if self.settings.clusterer.names and decision.path and decision.path[0]:
            keep = self.settings.store.keep_prompts
            self.names.read(decision.path[0], prompt, keep=keep)

    def feedback(
        self,
        feedback: Feedback | str,
        reward: float | None = None,
        *,
        time: float | None = None,
        **fields: Any,
    ) -> FeedbackStatus:
        """Learn what somebody says of a decision; see `judge`.

        Parameters
        ----------
        feedback
            A `Feedback`, or the id of a decision with `reward` (a quality in [0, 1]) and any
            other field of `Feedback` as keywords.
        """
        if isinstance(feedback, str):
            feedback = Feedback(decision_id=feedback, reward=reward, **fields)
        status, event = self.judge(feedback, time=time)
        if event is not None:
            self.apply(event)
        return status

    # -- reading ----------------------------------------------------------------------------

    def embed(self, prompt: str) -> Vector:
        """Return the unit embedding of a text, shape (dimension,). Slow; changes nothing."""
        if not prompt.strip():
            raise InvalidInput("prompt must not be empty", "prompt")
        if self._embedder is None:
            name = self.settings.embedder.name
            if name == OWN_VECTORS:
                raise InvalidInput(
                    "this router has no embedder: give the embedding of the prompt", "embedding"
                )
            self._embedder = SentenceTransformerEmbedder(
                name, batch_size=self.settings.embedder.batch_size
            )
        vector: Vector = self._embedder.encode([prompt])[0]
        return vector

    def history(self, decision_id: str) -> History:
        """Return a decision and all that was said of it.

        Raises
        ------
        UnknownDecision
            If there is none of that id.
        """
        return self._memory.history(decision_id, self.seq + 1)

    def utility(self, request: Request | None = None) -> Utility:
        """Return the terms of the utility for a request."""
        ours, request = self.settings.bandit, request or Request()
        cost, latency = request.cost_weight, request.latency_weight
        reference = self.reference_cost_usd
        if cost is None:
            cost = self.pacer.price * reference if self.pacer else ours.cost_weight
        return Utility(
            cost_weight=cost,
            reference_cost_usd=reference,
            latency_weight=ours.latency_weight if latency is None else latency,
            reference_latency_ms=ours.reference_latency_ms,
        )

    @property
    def reference_cost_usd(self) -> float:
        """The cost that a cost weight is measured by: as set, else that of the best arm so far."""
        ours = self.settings.bandit.reference_cost_usd
        return ours or self.policy.reference_cost() or 1.0

    def arms(self) -> tuple[ArmView, ...]:
        """Return what is believed of every arm over the whole map."""
        return arm_views(self.policy, list(self.models))

    def clusters(self) -> list[ClusterView]:
        """Return every live cluster with its arms, coarsest level first."""
        return cluster_views(self.policy, list(self.models), names=self.names)

    def cluster(self, id_: int) -> ClusterView:
        """Return a live cluster.

        Raises
        ------
        LookupError
            If there is none of this id.
        """
        found = cluster_views(self.policy, list(self.models), id_, names=self.names)
        if not found:
            raise LookupError(f"no live cluster {id_}")
        return found[0]

    @property
    def restorable(self) -> bool:
        """Whether a snapshot is enough to restart from (else the whole log is folded)."""
        return self.policy.restorable

    def snapshot(self) -> bytes:
        """Return the state, in bytes that are equal for equal states."""
        return codec.encode_state(
            {
                "fold_version": FOLD_VERSION,
                "seq": self.seq,
                "time": self.time,
                "dimension": self._dimension,
                "projection": self._projection_digest,
                "settings": msgspec.to_builtins(self.settings),
                "models": msgspec.to_builtins(tuple(self.models.values())),
                "policy": self.policy.state(),
                "pacer": self.pacer and self.pacer.state(),
                "sessions": self.sessions.state(),
                "crowd": self.crowd.state(),
            }
        )

    # -- inside -----------------------------------------------------------------------------

    def _load(self, state: dict[str, Any]) -> None:
        if state["fold_version"] != FOLD_VERSION:
            raise StoreError(
                f"the snapshot is of fold version {state['fold_version']}, "
                f"this is version {FOLD_VERSION}: fold the whole log"
            )
        self.settings = msgspec.convert(state["settings"], Settings)
        self._projection_digest = state["projection"]
        models = msgspec.convert(state["models"], tuple[Model, ...])
        self.models = {model.name: model for model in models}
        self.policy = make_policy(self.settings.bandit.strategy, self.settings, self._projection())
        self.policy.load(state["policy"])
        self.sessions.load(state["sessions"])
        self._tune_crowd()
        self.crowd.load(state["crowd"])
        if state["pacer"] is not None:
            self.pacer = BudgetPacer(state["pacer"]["ceiling_usd"])
            self.pacer.load(state["pacer"])
        self.seq, self.time = state["seq"], state["time"]
        self._dimension = state["dimension"]

    def _projection(self) -> Any:
        projection = shipped_projection(self.settings.embedder.name)
        digest = projection.digest if projection else None
        if digest != self._projection_digest:
            raise StoreError(
                "this log was written with another projection into the map's space "
                f"({self._projection_digest}); this release ships {digest}"
            )
        return projection and projection.first(self.settings.clusterer.dimensions)

    def _now(self, time: float | None) -> float:
        return self.time if time is None else max(self.time, float(time))

    def _checked(self, vector: Any) -> Vector:
        out = unit(vector)
        projection = shipped_projection(self.settings.embedder.name)
        expected = self._dimension or (projection.mean.size if projection else None)
        if expected is not None and len(out) != expected:
            raise InvalidInput(
                f"embedding must have {expected} numbers, as {self.settings.embedder.name!r} "
                f"gives, not {len(out)}; for vectors of your own use the embedder 'none'",
                "embedding",
            )
        return out

    def _decision(
        self,
        choice: Choice,
        context: Context,
        request: Request,
        seq: int,
        time: float,
        decision_id: str | None,
    ) -> Decision:
        name = decision_id or f"d{seq}"
        if self._memory.holds(name, seq):
            raise InvalidInput(f"there is a decision {name!r} already", "decision_id")
        chosen = next(c for c in choice.candidates if c.model == choice.model)
        keep = self.settings.store.keep_prompts
        return Decision(
            seq=seq,
            time=time,
            decision_id=name,
            model=choice.model,
            cluster=next((i for i in reversed(choice.path) if i), 0),
            propensity=chosen.propensity,
            candidates=choice.candidates,
            utility=context.utility,
            path=choice.path,
            vector=b"" if context.vector is None else context.vector.astype("<f4").tobytes(),
            exact=choice.exact,
            propensity_draws=choice.propensity_draws,
            policy=self.policy.name,
            trust=self.crowd.trust(request.user, seq),
            prompt_chars=None if context.prompt is None else len(context.prompt),
            prompt_sha256=None if context.prompt is None else codec.text_digest(context.prompt),
            prompt=_writable(context.prompt) if keep else None,
            request=request,
        )


def _writable(text: str | None) -> str | None:
    """Return `text` with lone surrogates, which no UTF-8 can hold, as escapes."""
    return text and text.encode("utf-8", "backslashreplace").decode("utf-8")


def _but_for_names(new: ClustererSettings, old: ClustererSettings) -> ClustererSettings:
    """Return the new settings of the map with the old choice of names, which moves no cluster."""
    return msgspec.structs.replace(new, names=old.names)
