"""The one place where it is told that an answer was completed.

Whoever wants to judge answers (verifiers, signals of what users do, a judge) adds a listener to
``app[ANSWERED]`` before the application starts. It is called after the client has its answer, in a
task of its own; what it raises is logged and harms nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from ...providers import Answer, Call
from ...types import Decision, Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answered:
    """A whole answer that a client has been given.

    Attributes
    ----------
    call
        What was asked: `raw` as it came, `chat()` in the form of chat completions whatever API the
        client speaks (messages, tools, response_format).
    answer
        What was said: text, tool calls, refusal, why it ended.
    outcome
        What was observed: the arm that answered, cost, latency, tokens.
    decision
        None where the client named the model: there is nothing to learn then.
    session_id
        Of the conversation, if the client says so.
    key
        Id of the API key that asked.
    """

    call: Call
    answer: Answer
    outcome: Outcome
    decision: Decision | None
    session_id: str | None = None
    key: str | None = None

    @property
    def user(self) -> str | None:
        """The end user, if the client names one."""
        raw = self.call.raw
        metadata = raw.get("metadata")
        user = raw.get("user") or (isinstance(metadata, dict) and metadata.get("user_id"))
        return user if isinstance(user, str) else None


Listener = Callable[[Answered], Awaitable[None]]

ANSWERED: web.AppKey[list[Listener]] = web.AppKey("answered", list[Listener])
"""Who is told."""

_RUNNING: web.AppKey[set[asyncio.Task[None]]] = web.AppKey("running", set[asyncio.Task[None]])


def prepare(app: web.Application) -> None:
    """Let there be listeners; what they still do when the application ends is waited for."""
    app[ANSWERED] = []
    app[_RUNNING] = set()
    app.cleanup_ctx.append(_drained)


def announce(app: web.Application, answered: Answered) -> None:
    """Tell every listener."""
    for listener in app[ANSWERED]:
        task = asyncio.get_running_loop().create_task(_told(listener, answered))
        app[_RUNNING].add(task)
        task.add_done_callback(app[_RUNNING].discard)


async def _told(listener: Listener, answered: Answered) -> None:
    try:
        await listener(answered)
    except Exception:
        log.exception("a listener failed on an answer of %r", answered.outcome.model)


async def _drained(app: web.Application) -> AsyncIterator[None]:
    yield
    await asyncio.gather(*app[_RUNNING])
