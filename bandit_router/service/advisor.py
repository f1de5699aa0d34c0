"""Asking a real LLM which model is to answer, for the strategy `llm-judge`.

The question is put before the decision, beside the embedding; the policy itself does no I/O.
Whatever goes wrong is written into the decision, and the policy's fallback decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from ..config import LLMJudgeSettings, Settings, strategies_named
from ..policies.judge import JudgePolicy, answer_of, question
from ..types import Advice, Model
from .asking import ask, check_asked

_REPLY_TOKENS = 64


def check_judge(settings: Settings) -> None:
    """Refuse settings that name the strategy `llm-judge` without saying whom to ask.

    Raises
    ------
    ConfigError
        Naming what is missing.
    """
    for key, name in strategies_named(settings):
        if name == JudgePolicy.name:
            check_asked(settings.llm_judge, "llm_judge", f"{key} is {name!r}, which asks an LLM")


class Advisor:
    """Asks an OpenAI-compatible endpoint for a model.

    Parameters
    ----------
    session
        Shared by the whole application.
    settings
        Whom to ask, and how long to wait.
    """

    def __init__(self, session: aiohttp.ClientSession, settings: LLMJudgeSettings) -> None:
        self._session = session
        self._settings = settings

    async def ask(self, prompt: str, models: Sequence[Model]) -> Advice:
        """Return what the LLM says; never raises, and never takes longer than the timeout."""
        asked = question(prompt, models, self._settings.max_prompt_chars)
        said = await ask(self._session, self._settings, asked, max_tokens=_REPLY_TOKENS)
        if said.error:
            return Advice(model=None, latency_ms=said.latency_ms, error=said.error)
        named = answer_of(said.text, [model.name for model in models])
        return Advice(
            model=named,
            cost_usd=said.cost_usd,
            latency_ms=said.latency_ms,
            error=None if named else f"named no model: {said.text[:100]!r}",
        )
