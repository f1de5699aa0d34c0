"""The signals that the settings ask for, at work as long as the application is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from ...types import Feedback, FeedbackStatus, Vector
from ..asking import check_asked
from ..gateway import ANSWERED, Answered
from ..keys import ENGINE, FLEET
from .implicit import Implicit
from .judge import AnswerJudge
from .lines import Line
from .operator import Check, Webhook
from .verifiers import Verifiers

_AT_ONCE = 4  # questions to a webhook or a judge


@dataclass(frozen=True)
class Signals:
    """Every line, and the judge if there is one."""

    lines: list[Line]
    judge: AnswerJudge | None

    async def answered(self, answered: Answered) -> None:
        """Let an answer wait in every line."""
        for line in self.lines:
            line.put(answered)


SIGNALS: web.AppKey[Signals] = web.AppKey("signals", Signals)
"""What looks at answers."""


@asynccontextmanager
async def attached(app: web.Application, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Let the signals look at every answer of the gateway.

    Raises
    ------
    ConfigError
        If one is asked for that cannot be had.
    """
    found = _signals(app, session)
    app[SIGNALS] = found
    app[ANSWERED].append(found.answered)
    for line in found.lines:
        line.start()
    yield
    app[ANSWERED].remove(found.answered)
    await asyncio.gather(*(line.close() for line in found.lines))


def _signals(app: web.Application, session: aiohttp.ClientSession) -> Signals:
    engine = app[ENGINE]
    settings = engine.config.settings
    ours, grading = settings.signals, settings.answer_judge
    lines: list[Line] = []

    async def tell(said: Sequence[Feedback]) -> list[FeedbackStatus | Exception]:
        return await engine.feedback(said, signed=True)

    async def embed(text: str) -> Vector:
        vector: Vector = await engine.embed(engine.redact(text))
        return vector

    if ours.schema or ours.tools or ours.answer:
        lines.append(Line("verifiers", Verifiers(ours), tell, ours.queue))
    if ours.implicit:
        lines.append(Line("implicit", Implicit(ours, embed), tell, ours.queue))
    if ours.check is not None:
        lines.append(Line("check", Check(ours), tell, ours.queue))
    if ours.webhook is not None:
        webhook = Webhook(ours, session, engine.redact)
        lines.append(Line("webhook", webhook, tell, ours.queue, _AT_ONCE))
    judge = None
    if grading.share:
        check_asked(grading, "answer_judge", f"a share of {grading.share:g} is to be graded")
        judge = AnswerJudge(grading, engine, session, app[FLEET], engine.redact)
        lines.append(Line("answer_judge", judge, tell, ours.queue, _AT_ONCE))
    return Signals(lines, judge)
