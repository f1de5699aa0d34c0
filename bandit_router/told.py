"""What a router is told, and the events that this makes: feedback, outcomes, changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from .accounts import Terms
from .config import Settings, check_kin, check_models, check_names
from .eligibility import unknown_model
from .embedding import shipped_projection
from .exceptions import InvalidInput
from .fold import Fold
from .memory import check_feedback, observed_cost, priced, spoken, standing, with_event
from .strategies import check_strategies
from .types import Change, ChangeKind, Feedback, FeedbackStatus, Model, Outcome, Training


class Told(Fold):
    """A fold that makes the next event of what it is told; nothing here changes it."""

    def judge(
        self, feedback: Feedback, *, time: float | None = None
    ) -> tuple[FeedbackStatus, Feedback | None]:
        """Return what a feedback is, and the event that `apply` folds (None for a duplicate).

        Raises
        ------
        InvalidInput
            If a value is out of range, or too many sources have spoken of the decision already;
            `field` names it.
        UnknownDecision
            If the decision is not known.
        """
        check_feedback(feedback)
        history = self._memory.history(feedback.decision_id, self.seq + 1)
        said = standing(history)
        before, most = said.get(feedback.source), self.settings.feedback.max_sources
        if before is None and len(said) >= most:
            raise InvalidInput(
                f"source: {most} sources have spoken of this decision already, which is the most "
                "(feedback.max_sources): speak as one of them",
                "source",
            )
        event = msgspec.structs.replace(
            priced(feedback, history, self.models.get(history.answered_by)),
            seq=self.seq + 1,
            time=self._now(time),
            reliability=self.sources.reliability(spoken(history.decision, feedback.source))
            if self.settings.feedback.estimate_reliability
            else 1.0,
        )
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
            cost_usd=observed_cost(outcome, self.models[outcome.model]),
        )

    def change(
        self,
        what: ChangeKind,
        body: dict[str, Any],
        *,
        time: float | None = None,
    ) -> Change:
        """Return the event of an arm set (`body`: its fields) or removed (`body`: its name).

        See `types.Change` for the others.

        Raises
        ------
        InvalidInput
            If the model cannot be used; `field` names what is wrong.
        """
        if what == "model_removed":
            if body["name"] not in self.models:
                raise unknown_model(body["name"], self.models, "name")
            self._check_needed([name for name in self.models if name != body["name"]], "name")
            body = {"name": body["name"]}
        elif what == "kill_switch":
            if body["model"] is not None and body["model"] not in self.models:
                raise unknown_model(body["model"], self.models, "model")
            body = {"model": body["model"], "reason": body.get("reason", "")}
        elif what == "trained":
            body = msgspec.to_builtins(msgspec.convert(body, Training), builtin_types=(bytes,))
        elif what == "keys":
            terms = msgspec.convert(body["keys"], dict[str, Terms])
            body = {"keys": msgspec.to_builtins(terms)}
        elif what == "erased":
            body = {"decision_ids": [str(id_) for id_ in body["decision_ids"]]}
        elif what == "spent":
            body = {"key": str(body["key"]), "usd": float(body["usd"])}
        else:
            model = msgspec.convert(body, Model)
            check_models((model,))
            before = self.models.get(model.name)
            if before is None:
                check_names([model.name], self.settings.profiles)
            if before is None or before.similar_to != model.similar_to:  # else kin may be gone
                check_kin((model,), self.models)
            body = msgspec.to_builtins(model)
        return Change(seq=self.seq + 1, time=self._now(time), what=what, body=body)

    def configuration(
        self, settings: Settings, models: Sequence[Model | str], *, time: float | None = None
    ) -> Change:
        """Return the event that sets settings and models as a whole; the first of every log."""
        arms = tuple(m if isinstance(m, Model) else Model(name=m) for m in models)
        check_models(arms)
        if not self.seq:  # later, a log may know models that the file no longer names
            check_kin(arms, [arm.name for arm in arms])
        projection = shipped_projection(settings.embedder.name)
        check_strategies(settings)
        if self.seq:
            self._check_needed([arm.name for arm in arms], "models", settings)
        body = {
            "settings": msgspec.to_builtins(settings),
            "models": msgspec.to_builtins(arms),
            "projection": projection.digest if projection else None,
        }
        return Change(seq=self.seq + 1, time=self._now(time), what="configured", body=body)

    def _check_needed(
        self, left: Sequence[str], field: str, settings: Settings | None = None
    ) -> None:
        """Refuse to lose a model that every request is given to.

        Parameters
        ----------
        left
            The models that there would be.
        settings
            Those that come with them; None: they stay.
        """
        now, new = self.settings.bandit, (settings or self.settings).bandit
        switch = None if self.killed is None else self.killed.model
        if new.kill_switch != now.kill_switch:
            switch = new.kill_switch
        for what, name in (("the kill switch", switch), ("bandit.dry_run", new.dry_run)):
            if name is not None and name not in left:
                raise InvalidInput(
                    f"{what} gives every request to {name!r}: change that before the model goes",
                    field,
                )

    def _now(self, time: float | None) -> float:
        if time is None:
            return self.time
        now = float(time)
        if not math.isfinite(now):
            raise InvalidInput(f"time must be a finite number of seconds, not {time!r}", "time")
        return max(self.time, now)
