"""How a request is put to an endpoint: where, in which words, and how the answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from ..exceptions import InvalidInput
from ..types import Endpoint, Model
from .answers import (
    Answer,
    ChatReader,
    Reader,
    ResponsesReader,
    of_chat,
    of_embeddings,
    of_response,
)
from .translate import (
    Chained,
    ChatOverMessages,
    Json,
    MessagesOverChat,
    ResponsesOverChat,
    StreamTranslator,
    Translation,
)

Form = Literal["chat", "responses", "messages", "embeddings"]
"""What API a client speaks."""

_HOSTS_OF_NEW_LIMITS = ("api.openai.com",)  # they know max_completion_tokens only
_BLOCKS = frozenset(
    ["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"]
)
_CHAT_ALONE = (
    "logprobs", "top_logprobs", "audio", "functions", "function_call", "logit_bias",
    "web_search_options",
)  # fmt: skip
_ITEMS = frozenset(["message", "function_call", "function_call_output", "reasoning", None])
_PARTS = frozenset(["text", "image_url", "file", "refusal"])


@dataclass(frozen=True)
class Call:
    """What a client asks.

    Parameters
    ----------
    form
        The API it speaks.
    raw
        The request, as it came.
    deadline
        When it must have been answered, by the monotonic clock.
    headers
        What of the client's headers goes to an endpoint of the same API.
    session
        The conversation, if the client names it.
    """

    form: Form
    raw: Json
    deadline: float = field(default_factory=lambda: monotonic() + 600.0)
    headers: dict[str, str] = field(default_factory=dict)
    session: str | None = None

    @property
    def stream(self) -> bool:
        """Whether the answer is to come in pieces."""
        return bool(self.raw.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to say what it used; only chat completions leave it to the client."""
        options = self.raw.get("stream_options")
        return self.form != "chat" or (
            isinstance(options, dict) and options.get("include_usage") is True
        )

    def chat(self) -> Json:
        """Return the request as one for chat completions.

        Raises
        ------
        InvalidInput
            If it cannot be said so.
        """
        over = over_chat(self)
        return self.raw if over is None else _said(over, self.raw)

    def bound(self) -> tuple[str, str] | None:
        """Return the only kind of endpoint that can answer, and the field that says so."""
        return _BOUND[self.form](self.raw)

    def fits(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint can answer without changing what was asked."""
        bound = self.bound()
        if bound is None or bound[0] == endpoint.kind:
            return bound is None or self.form != "responses" or endpoint.responses is not False
        return self.form in ("chat", "embeddings") and endpoint.kind == "litellm"


@dataclass(frozen=True)
class Wire:
    """One request to one endpoint.

    Attributes
    ----------
    path, body
        What is sent, and where to below the base URL.
    answer
        A whole answer in the client's words; None: it is in them already.
    stream
        Makes the same of a stream; None: its bytes are passed on.
    read, reader
        Read a whole answer, or a stream, as the endpoint gives it.
    """

    path: str
    body: Json
    read: Callable[[Json], Answer]
    reader: Callable[[], Reader]
    answer: Callable[[Json], Json] | None = None
    stream: Callable[[], StreamTranslator] | None = None


def wire(call: Call, model: Model, endpoint: Endpoint, *, responses: bool = False) -> Wire:
    """Return how `call` is put to an endpoint.

    Parameters
    ----------
    responses
        Whether the endpoint has the Responses API.

    Raises
    ------
    InvalidInput
        If it cannot be said in the endpoint's words.
    """
    named = {"model": endpoint.model or model.name}
    if call.form == "embeddings":
        return Wire("/embeddings", {**call.raw, **named}, of_embeddings, ChatReader)
    if call.form == "responses" and responses:
        return Wire("/responses", {**call.raw, **named}, of_response, ResponsesReader)
    over = over_chat(call)
    if endpoint.kind == "anthropic":
        return _anthropic(call, over, named)
    body = {**(call.raw if over is None else _said(over, call.raw)), **named}
    if call.stream:
        options = body.get("stream_options") or {}
        body["stream_options"] = {**options, "include_usage": True}
    if over is None:
        return Wire("/chat/completions", body, of_chat, ChatReader)
    if "max_tokens" in body and (endpoint.base_url or "").find(_HOSTS_OF_NEW_LIMITS[0]) >= 0:
        body["max_completion_tokens"] = body.pop("max_tokens")
    return Wire("/chat/completions", body, of_chat, ChatReader, over.answer, over.stream)


def _anthropic(call: Call, over: Translation | None, named: Json) -> Wire:
    asked = call.raw if over is None else _said(over, call.raw)
    if call.form == "messages":
        under = ChatOverMessages({**named, "messages": []})
        body = {**call.raw, **named}
    else:
        under = ChatOverMessages(asked)
        body = {**_said(under, asked), **named}

    def read(answer: Json) -> Answer:
        return of_chat(under.answer(answer))

    def reader() -> Reader:
        return _Behind(under.stream(), ChatReader())

    if call.form == "messages":
        return Wire("/messages", body, read, reader)
    if over is None:
        return Wire("/messages", body, read, reader, under.answer, under.stream)
    last = over

    def answer(given: Json) -> Json:
        return last.answer(under.answer(given))

    def stream() -> StreamTranslator:
        return Chained(under.stream(), last.stream())

    return Wire("/messages", body, read, reader, answer, stream)


class _Behind:
    """A reader of chat chunks behind a translator to them."""

    def __init__(self, translator: StreamTranslator, reader: ChatReader) -> None:
        self._translator, self._reader = translator, reader
        self.error: str | None = None

    @property
    def answer(self) -> Answer:
        return self._reader.answer

    @property
    def whole(self) -> bool:
        return self._reader.whole

    def feed(self, event: Json) -> None:
        """Take an event of the endpoint's; its last one is told by its name."""
        events = self._translator.feed(event)
        if event.get("type") == "message_stop":
            events = [*events, *self._translator.end()]
        for chunk in events:
            self._reader.feed(chunk)
        self.error = self._reader.error


def over_chat(call: Call) -> Translation | None:
    """Return what puts a request into the form of chat completions; None: it has it already."""
    if call.form == "messages":
        return MessagesOverChat(call.raw)
    return ResponsesOverChat(call.raw) if call.form == "responses" else None


_UNREADABLE = (TypeError, AttributeError, IndexError, KeyError, ValueError)
_BESIDE = (
    "tool_choice", "tools", "temperature", "output_config", "text", "reasoning",
    "response_format", "system", "stop", "stop_sequences", "thinking",
)  # fmt: skip
"""What translations read of a request beside the conversation."""


def _said(translation: Translation, raw: Json) -> Json:
    try:
        return translation.request()
    except ValueError as error:
        raise InvalidInput(str(error), _at_fault(type(translation), raw)) from None
    except KeyError as error:
        name = str(error.args[0]) or _at_fault(type(translation), raw)
        raise InvalidInput(f"{name}: is missing where its API wants it", name) from None
    except _UNREADABLE as error:
        name, what = _at_fault(type(translation), raw), f"{type(error).__name__}: {error}"
        raise InvalidInput(f"{name}: is not of the form that its API has ({what})", name) from None


def _at_fault(kind: Callable[[Json], Translation], raw: Json) -> str:
    """Return the field without which a request could be read; of the conversation, its name."""
    for name in _BESIDE:
        if name in raw:
            try:
                kind({key: value for key, value in raw.items() if key != name}).request()
            except _UNREADABLE:
                continue
            return name
    return "input" if "input" in raw else "messages"


# -- what only one kind of endpoint can do --------------------------------------------------


def _chat_bound(raw: Json) -> tuple[str, str] | None:
    if (raw.get("n") or 1) != 1:
        return "openai", "n"
    for name in _CHAT_ALONE:
        if raw.get(name):
            return "openai", name
    if any(tool.get("type") != "function" for tool in raw.get("tools") or ()):
        return "openai", "tools"
    for part in _parts(raw["messages"]):
        kind = part.get("type")
        if kind not in _PARTS or (kind == "file" and "file_data" not in part.get("file", {})):
            return "openai", "messages"
    return None


def _messages_bound(raw: Json) -> tuple[str, str] | None:
    if any(tool.get("type") not in (None, "custom") for tool in raw.get("tools") or ()):
        return "anthropic", "tools"
    for block in _parts(raw["messages"]):
        source = block.get("source")
        kept_there = isinstance(source, dict) and source.get("type") == "file"
        if block.get("type") not in _BLOCKS or kept_there:
            return "anthropic", "messages"
    return None


def _responses_bound(raw: Json) -> tuple[str, str] | None:
    for name in ("previous_response_id", "conversation", "prompt", "background"):
        if raw.get(name):
            return "openai", name
    if any(tool.get("type") != "function" for tool in raw.get("tools") or ()):
        return "openai", "tools"
    given = raw["input"]
    if isinstance(given, str):
        return None
    kept_there = any(part.get("file_id") or part.get("file_url") for part in _parts(given))
    if kept_there or any(item.get("type") not in _ITEMS for item in given):
        return "openai", "input"
    return None


def _parts(messages: list[Json]) -> Iterator[Json]:
    """Return the parts of all messages whose content is made of parts."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))


_BOUND: dict[str, Callable[[Json], tuple[str, str] | None]] = {
    "chat": _chat_bound,
    "messages": _messages_bound,
    "responses": _responses_bound,
    "embeddings": lambda raw: ("openai", "model"),
}
