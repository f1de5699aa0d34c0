"""What clients of the gateway send: of each API what is read; the rest is passed on as it is."""

from __future__ import annotations

from time import monotonic
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from ...exceptions import InvalidInput
from ...providers import Call, Form
from .. import body
from ..keys import ENGINE
from ..wire import Message, Name

DEADLINE = "x-bandit-router-deadline-ms"
SESSION = "x-bandit-router-session"
_PASSED_ON = ("anthropic-beta", "anthropic-version")

Items = Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=10_000)]
Tools = Annotated[list[dict[str, Any]], Meta(max_length=10_000)]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    model: Name
    stream: bool | None = None
    user: Name | None = None


class ChatRequest(_Asked, frozen=True, kw_only=True):
    """OpenAI's chat completion request."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)]
    tools: Tools | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stream_options: dict[str, Any] | None = None


class ResponsesRequest(_Asked, frozen=True, kw_only=True):
    """A request of OpenAI's Responses API."""

    input: str | Items
    instructions: str | None = None
    tools: Tools | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    previous_response_id: str | None = None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of Anthropic's Messages."""

    role: str
    content: str | list[dict[str, Any]]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What Anthropic's clients say about a request."""

    user_id: Name | None = None


class MessagesRequest(_Asked, frozen=True, kw_only=True):
    """A request of Anthropic's Messages API."""

    messages: Annotated[list[Turn], Meta(min_length=1, max_length=10_000)]
    max_tokens: Annotated[int, Meta(ge=1)]
    system: str | list[dict[str, Any]] | None = None
    tools: Tools | None = None
    metadata: Metadata | None = None
    output_config: dict[str, Any] | None = None


class CountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A Messages request whose tokens are to be counted."""

    model: Name
    messages: Annotated[list[Turn], Meta(min_length=1, max_length=10_000)]


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's embeddings request."""

    model: Name
    input: Any


T = TypeVar("T", bound=msgspec.Struct)


async def asked(request: web.Request, type_: type[T], form: Form) -> tuple[T, Call]:
    """Return the body of a request, checked, and all of it as it came.

    Raises
    ------
    Refused, InvalidInput
        See `body.whole` and `body.decode`; also for a deadline that is none.
    """
    data = await body.whole(request)
    checked = body.decode(data, type_)
    raw: dict[str, Any] = msgspec.json.decode(data)
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    session = request.headers.get(SESSION)
    return checked, Call(form, raw, monotonic() + _seconds(request), headers, session)


def _seconds(request: web.Request) -> float:
    """Return how long the answer may take: as the header says, at most as configured."""
    most = request.app[ENGINE].config.settings.server.deadline_s
    text = request.headers.get(DEADLINE)
    if text is None:
        return most
    try:
        wanted = float(text) / 1000.0
    except ValueError:
        wanted = -1.0
    if not wanted > 0.0:
        raise InvalidInput(f"{DEADLINE}: {text!r} must be milliseconds, above 0", DEADLINE)
    return min(wanted, most)
