"""A judge for `llm-judge` in simulation: right as often as it is said to be, and paid for."""

from __future__ import annotations

import numpy as np

from ..config import LLMJudgeSettings
from ..policies.judge import question
from ..types import Advice, Model
from .tables import Array

_CHARS_PER_TOKEN = 4
_REPLY_TOKENS = 8


class SimulatedJudge:
    """Names the model that is best for the prompt's task, or with the error rate any other one.

    That is as much as a judge can know who sees the prompt and no answer: which model has luck
    with it nobody can foretell.

    The cost of asking is that of the very messages that the service would send, at the judge's
    list price, and is charged to the policy.

    Parameters
    ----------
    settings
        Error rate and prices.
    models
        Those of the table.
    seed
        Of its errors, with the step.
    """

    def __init__(self, settings: LLMJudgeSettings, models: tuple[Model, ...], seed: int) -> None:
        self._settings = settings
        self._models = {model.name: model for model in models}
        self._column = {model.name: i for i, model in enumerate(models)}
        self._seed = seed

    def ask(self, prompt: str, arms: tuple[str, ...], utility: Array, step: int) -> Advice:
        """Return what it says.

        Parameters
        ----------
        utility
            Mean of every model on prompts of this task, shape (models,).
        """
        rng = np.random.default_rng([self._seed, step, 3])
        best = max(arms, key=lambda arm: float(utility[self._column[arm]]))
        others = [arm for arm in arms if arm != best]
        wrong = bool(others) and rng.random() < self._settings.error_rate
        said = others[int(rng.integers(len(others)))] if wrong else best
        return Advice(model=said, cost_usd=self._cost(prompt, arms))

    def _cost(self, prompt: str, arms: tuple[str, ...]) -> float:
        ours = self._settings
        asked = question(prompt, (self._models[arm] for arm in arms), ours.max_prompt_chars)
        tokens = sum(len(message["content"]) for message in asked) / _CHARS_PER_TOKEN
        return (tokens * ours.input_usd_per_m + _REPLY_TOKENS * ours.output_usd_per_m) / 1e6
