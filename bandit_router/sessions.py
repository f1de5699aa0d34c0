"""Conversations: which model answered last, and whether leaving it is worth a cold cache."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from .policies import Choice
from .types import Candidate, Decision, Model, Utility

_HELD = 10_000
_CACHED_DISCOUNT = 0.9  # what a provider's prompt cache takes off the price of input tokens
_CHARS_PER_TOKEN = 4


class Sessions:
    """The most recent conversations, by `session_id`, and the model that each is on."""

    def __init__(self) -> None:
        self._model: OrderedDict[str, str] = OrderedDict()

    def decided(self, decision: Decision) -> None:
        """Fold a decision."""
        name = decision.request.session_id
        if name is None:
            return
        self._model[name] = decision.model
        self._model.move_to_end(name)
        if len(self._model) > _HELD:
            self._model.popitem(last=False)

    def model(self, session_id: str) -> str | None:
        """Return the model that a conversation is on, or None."""
        return self._model.get(session_id)

    def state(self) -> list[list[str]]:
        """Return the conversations, oldest first."""
        return [list(pair) for pair in self._model.items()]

    def load(self, state: list[Any]) -> None:
        """Take over what `state` returned."""
        self._model = OrderedDict((name, model) for name, model in state)


def stay_or_go(
    choice: Choice, current: Model, prompt: str | None, utility: Utility, margin: float
) -> Choice:
    """Keep a conversation on its model unless leaving is expected to gain enough.

    Parameters
    ----------
    choice
        What the policy would choose; its candidates carry expected utilities.
    current
        The model that the conversation is on; one of the candidates.
    prompt
        The conversation so far: what a switch would have to read again at full price.
    margin
        Gain in utility that a switch must bring beside the price of the cold cache.

    Returns
    -------
    Choice
        `choice` itself, or the current model with certainty. A policy that expects nothing
        (a fixed or random one) is left alone.
    """
    expected = {c.model: c.utility for c in choice.candidates if c.utility is not None}
    if current.name not in expected:
        return choice
    gain = max(expected.values()) - expected[current.name]
    tokens = len(prompt or "") / _CHARS_PER_TOKEN
    cold = tokens * (current.input_usd_per_m or 0.0) / 1e6 * _CACHED_DISCOUNT
    if gain > margin + utility.cost_weight * cold / utility.reference_cost_usd:
        return choice
    return Choice(
        model=current.name,
        candidates=tuple(_certain(c, current.name) for c in choice.candidates),
        path=choice.path,
    )


def _certain(candidate: Candidate, model: str) -> Candidate:
    return msgspec.structs.replace(candidate, propensity=float(candidate.model == model))
