"""The router: embed, locate, choose, explain, learn. Pure; time and seed come in.

A `Router` is the fold of its events: `apply` alone changes it. `decide`, `judge`, `change` and
`outcome` only make the next event, so a service can write the event to disk before (or after)
folding it; `route` and `feedback` do both at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from . import codec
from .bandits.draws import Draws
from .bandits.pacing import BudgetPacer, DayPacer
from .candidates import PROPENSITY, Candidates
from .clustering import finest
from .config import Settings
from .eligibility import (
    ANYTHING,
    affordable,
    eligible_arms,
    killed_arms,
    profile_of,
    with_profile,
    within_limits,
)
from .embedding import Embedder, make_embedder, shipped_projection
from .exceptions import InvalidInput, StoreError
from .memory import Recall
from .policies import Choice, Context, Outside
from .rollout import Verdict, asked, decide, live_strategy
from .sessions import stay_or_go
from .told import Told
from .types import Decision, Event, Feedback, FeedbackStatus, Model, Request, Utility
from .vectors import Vector, unit

OWN_VECTORS = "none"
"""The embedder's name where the caller brings vectors."""


ALONE = Outside()
"""Nobody to ask."""


class Router(Told):
    """Routes prompts to models, and learns from what comes back.

    Parameters
    ----------
    models
        The arms: `Model` values, or names alone.
    settings
        Strategy, map, trade-offs; see `bandit_router.config`.
    embedder
        Text to vector: an `Embedder`, a name (``"minilm"``, ``"static"``, a
        sentence-transformers name or folder), ``"none"`` for vectors of the caller's own, or
        None for what the settings say.
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
        self._begin(recall)
        self._embedder = None if isinstance(embedder, str) else embedder
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
            If the events do not follow one another, or the snapshot is of another version, or
            damaged.
        """
        router = cls.__new__(cls)
        router._begin(recall)
        router._embedder = embedder
        if state is not None:
            router._take(state)
        for event in events:
            router.apply(event)
        if not router.seq:
            raise StoreError("the log is empty: there is nothing to restore")
        return router

    # -- making events: nothing below changes the router -------------------------------------

    def decide(
        self,
        prompt: str | None = None,
        *,
        vector: Any = None,
        request: Request | None = None,
        time: float | None = None,
        decision_id: str | None = None,
        new_id: bool = False,
        number: int | None = None,
        outside: Outside = ALONE,
        unplaced: bool = False,
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
        new_id
            No other decision can have that name: the log is not searched for one.
        number
            Names the random numbers, below 2**64; None: the event's own. Whoever decides more
            than once in the same state gives each its own.
        outside
            What strategies may ask of the world: a judge, which providers answer.
        unplaced
            The prompt cannot be embedded now: if whoever decides can do without, those that
            cannot are passed over.

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
        wanted = request or ANYTHING
        bandit, profile, request = self.settings.bandit, None, wanted
        if wanted.profile is not None:
            profile = profile_of(wanted, self.settings.profiles)
            request = with_profile(wanted, profile, self.models)
        killed = None if self.killed is None else self.killed.model
        if prompt is None and vector is None:
            raise InvalidInput("give a prompt, or the embedding of one", "prompt")
        if vector is None:
            needed = self.needs_vector_for(wanted) if unplaced else self.needs_vector
            vector = self.embed(prompt or "") if needed else None
        unit_vector = None if vector is None else unit(vector)
        if unit_vector is not None and len(unit_vector) != self._dimension:
            self._check_length(unit_vector)
        seq, paced = self.seq + 1, self.pacer is not None or request.key is not None
        pacers = self._pacers(request) if paced else []
        context = Context(
            arms=eligible_arms(self.roster, request, prompt)
            if killed is None
            else killed_arms(self.models, wanted, prompt, killed),
            utility=self._utility(request, pacers),
            vector=unit_vector,
            prompt=prompt,
            outside=outside,
        )
        strategies = asked(bandit, profile)
        policy = self.strategies[strategies[0]]
        if request.max_cost_usd is not None or request.max_latency_ms is not None:
            context = within_limits(context, request, policy)
        if pacers:
            if time is None and any(isinstance(pacer, DayPacer) for pacer in pacers):
                raise InvalidInput("a budget a day needs the time of each request", "time")
            limit = min(pacer.limit_usd(self._now(time)) for pacer in pacers)
            if not policy.paces:
                context = affordable(context, limit, policy)
        if self._draws.seed != bandit.seed:
            self._draws = Draws(bandit.seed)
        number, session = seq if number is None else number, request.session_id
        verdict = decide(
            self.strategies,
            strategies,
            bandit,
            profile,
            killed,
            context,
            number,
            self._draws,
            None if session is None else partial(self._keep, session, context),
        )
        name = decision_id or f"d{seq}"
        if not new_id and self._memory.holds(name, seq, decision_id is not None):
            raise InvalidInput(f"there is a decision {name!r} already", "decision_id")
        now = self.time if time is None else self._now(time)
        return self._decision(verdict, context, request, seq, now, name)

    def adopt(self, decision: Decision) -> Decision:
        """Return the event of a decision that another router made, in an older state of this one.

        What was chosen, among what and with which probability is the other's; where the prompt
        lies, and what its feedback counts, is this one's.
        """
        vector = decision.embedding()
        if vector is not None and self._dimension not in (None, len(vector)):
            vector = None  # of the space before the embedder was another
        path = decision.path if vector is None else self.strategies.locate(vector)
        trust, capped = self._counted(decision.request)
        return msgspec.structs.replace(
            decision,
            seq=self.seq + 1,
            time=self._now(decision.time),
            vector=b"" if vector is None else decision.vector,
            path=path,
            cluster=finest(path),
            trust=trust,
            capped=capped,
        )

    # -- both at once -----------------------------------------------------------------------

    def route(
        self,
        prompt: str | None = None,
        *,
        vector: Any = None,
        request: Request | None = None,
        time: float | None = None,
        decision_id: str | None = None,
        new_id: bool = False,
        outside: Outside = ALONE,
    ) -> Decision:
        """Choose a model for a prompt and let the map learn it; see `decide`."""
        decision = self.decide(
            prompt,
            vector=vector,
            request=request,
            time=time,
            decision_id=decision_id,
            outside=outside,
        )
        self.apply(decision)
        if prompt is not None and decision.prompt is None:
            self.read(decision, prompt)
        return decision

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

    @property
    def needs_vector(self) -> bool:
        """Whether anybody who decides or learns asks where a prompt lies."""
        return self.killed is None and self.strategies.needs_vector

    def needs_vector_for(self, request: Request) -> bool:
        """Whether whoever decides a request asks where its prompt lies.

        Raises
        ------
        InvalidInput
            If its profile is not known.
        """
        bandit = self.settings.bandit
        if self.killed is not None or bandit.dry_run is not None:
            return False
        profile = profile_of(request, self.settings.profiles)
        return self.strategies[live_strategy(bandit, profile)].needs_vector

    def judge_among(self, request: Request, prompt: str | None) -> tuple[Model, ...]:
        """Return the models that an LLM is to choose among for a request; () if none is asked.

        Raises
        ------
        InvalidInput
            As `decide` does.
        """
        profile = profile_of(request, self.settings.profiles)
        if not self.strategies.needs_judge:
            return ()
        names = () if self.killed else asked(self.settings.bandit, profile)
        if not any(self.strategies[name].needs_judge for name in names):
            return ()
        arms = eligible_arms(self.roster, with_profile(request, profile, self.models), prompt)
        return tuple(self.models[arm] for arm in arms)

    def embed(self, prompt: str) -> Vector:
        """Return the unit embedding of a text, shape (dimension,). Slow; changes nothing."""
        if not prompt.strip():
            raise InvalidInput("prompt must not be empty", "prompt")
        if self._embedder is None:
            if self.settings.embedder.name == OWN_VECTORS:
                raise InvalidInput(
                    "this router has no embedder: give the embedding of the prompt", "embedding"
                )
            self._embedder = make_embedder(self.settings.embedder)
        vector: Vector = self._embedder.encode([prompt])[0]
        return vector

    def utility(self, request: Request | None = None) -> Utility:
        """Return the terms of the utility for a request."""
        request = request or ANYTHING
        return self._utility(request, self._pacers(request))

    def _utility(self, request: Request, pacers: list[BudgetPacer]) -> Utility:
        ours, reference = self.settings.bandit, self._reference_cost()
        cost, latency = request.cost_weight, request.latency_weight
        if cost is None:
            cost = ours.cost_weight
            if pacers:
                cost = max(pacer.price for pacer in pacers) * reference
        return Utility(
            cost_weight=cost,
            reference_cost_usd=reference,
            latency_weight=ours.latency_weight if latency is None else latency,
            reference_latency_ms=ours.reference_latency_ms,
        )

    def _keep(self, session_id: str, context: Context, choice: Choice) -> Choice:
        """Return what a conversation makes of a choice; see `sessions.stay_or_go`."""
        current = self.sessions.model(session_id)
        if current is None or current not in context.arms or current not in self.models:
            return choice
        margin = self.settings.bandit.session_margin
        return stay_or_go(choice, self.models[current], context.prompt, context.utility, margin)

    def _pacers(self, request: Request) -> list[BudgetPacer]:
        """Return what paces this request: the service's budget, that of its key."""
        pacers = [] if self.pacer is None else [self.pacer]
        if request.key is not None and (theirs := self.accounts.pacer(request.key)) is not None:
            pacers.append(theirs)
        return pacers

    def _counted(self, request: Request) -> tuple[float, bool]:
        """Return what feedback on a request counts, and whether its voice is capped."""
        user, key = request.user, request.key
        trust = min(self.users.trust(user), self.keys.trust(key))
        return trust, self.users.caps(user) or self.keys.caps(key)

    def _check_length(self, vector: Vector) -> None:
        expected = self._dimension
        if expected is None and (projection := shipped_projection(self.settings.embedder.name)):
            expected = projection.mean.size
        if expected is not None and len(vector) != expected:
            raise InvalidInput(
                f"embedding must have {expected} numbers, as {self.settings.embedder.name!r} "
                f"gives, not {len(vector)}; for vectors of your own use the embedder 'none'",
                "embedding",
            )

    def _decision(
        self,
        verdict: Verdict,
        context: Context,
        request: Request,
        seq: int,
        time: float,
        decision_id: str,
    ) -> Decision:
        choice, prompt = verdict.choice, context.prompt
        found = choice.candidates
        voiced = request.user is not None or request.key is not None
        trust, capped = self._counted(request) if voiced else (1.0, False)
        decision = Decision(  # a call of more than 15 arguments takes four times as long
            seq=seq,
            time=time,
            decision_id=decision_id,
            model=choice.model,
            cluster=finest(verdict.path),
            propensity=found.number(choice.model, PROPENSITY)
            if type(found) is Candidates
            else choice.propensity,
            candidates=found,
            utility=context.utility,
            path=verdict.path,
            vector=b"" if context.vector is None else context.vector.tobytes(),
            exact=choice.exact,
            policy=verdict.strategy,
            prompt_chars=None if prompt is None else len(prompt),
            prompt_sha256=None if prompt is None else codec.text_digest(prompt),
            request=request,
        )
        rare: dict[str, Any] = {}
        if not choice.exact:
            rare["propensity_draws"] = choice.propensity_draws
        if verdict.role != "live" or verdict.shadows or verdict.advice is not None:
            rare |= {"role": verdict.role, "shadows": verdict.shadows, "advice": verdict.advice}
        if trust != 1.0 or capped:
            rare |= {"trust": trust, "capped": capped}
        if prompt is not None and self.settings.store.keep_prompts:
            rare["prompt"] = _writable(prompt)
        return msgspec.structs.replace(decision, **rare) if rare else decision


def _writable(text: str) -> str:
    """Return `text` with lone surrogates, which no UTF-8 can hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
