"""What was answered, read from a body or from a stream while it passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from .translate import Json
from .usage import Usage, estimate


@dataclass
class Answer:
    """What a model said, whatever API said it.

    Attributes
    ----------
    text
        Of the first choice.
    tool_calls
        Of the first choice: `id`, `name` and `arguments` (text, as the model wrote it).
    refusal
        What it said in refusing, if it did.
    finish_reason
        In OpenAI's words: `stop`, `length`, `tool_calls`, `content_filter`; None: unknown.
    usage
        None: the provider stated none; see `used`.
    size
        Bytes of text of all choices, for an estimate.
    """

    text: str = ""
    tool_calls: list[dict[str, str]] = field(default_factory=list)
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    size: int = 0

    def used(self, asked: Json) -> Usage:
        """Return what the provider stated, else an estimate from the texts."""
        return self.usage or estimate(asked, self.size)


class Reader(Protocol):
    """Reads a stream of events."""

    @property
    def answer(self) -> Answer:
        """What was answered, as far as it has been read."""

    @property
    def whole(self) -> bool:
        """Whether the answer has come to its end."""

    @property
    def error(self) -> str | None:
        """What the stream said went wrong, if it did."""

    def feed(self, event: Json) -> None:
        """Take an event."""


def of_chat(answer: Json) -> Answer:
    """Read a chat completion."""
    out = Answer(usage=Usage.stated(answer.get("usage")))
    for choice in answer["choices"]:
        message = choice["message"]
        out.size += _size(message.get("content"), message.get("tool_calls"))
    first = answer["choices"][0]
    message = first["message"]
    out.finish_reason = first.get("finish_reason")
    out.text, out.refusal = _text(message.get("content")), message.get("refusal")
    out.tool_calls = [
        {"id": call["id"], "name": call["function"]["name"], "arguments": _arguments(call)}
        for call in message.get("tool_calls") or ()
        if "function" in call
    ]
    return out


def of_response(answer: Json) -> Answer:
    """Read a response of OpenAI's Responses API."""
    out = Answer(usage=Usage.stated(answer.get("usage")), finish_reason="stop")
    for item in answer["output"]:
        if item["type"] == "function_call":
            call = {"id": item["call_id"], "name": item["name"], "arguments": item["arguments"]}
            out.tool_calls.append(call)
            out.finish_reason = "tool_calls"
        for part in item.get("content") or ():
            out.text += part.get("text") or ""
            out.refusal = part.get("refusal") or out.refusal
    out.size = _size(out.text, out.tool_calls)
    if answer.get("incomplete_details"):
        out.finish_reason = "length"
    return out


def of_embeddings(answer: Json) -> Answer:
    """Read embeddings: only what they used."""
    if not isinstance(answer["data"], list):
        raise TypeError("data is no list")
    return Answer(usage=Usage.stated(answer.get("usage")), finish_reason="stop")


class ChatReader:
    """Reads chat chunks."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.error: str | None = None
        self._begun: set[Any] = set()  # choices, by their index
        self._ended: set[Any] = set()  # some send more after it, to state the usage

    @property
    def whole(self) -> bool:
        """Whether every choice that has begun has come to its end."""
        return bool(self._ended) and self._begun <= self._ended

    def feed(self, event: Json) -> None:
        """Take a chunk."""
        if event.get("error"):
            self.error = said(event["error"])
            return
        if event.get("usage"):
            self.answer.usage = Usage.stated(event["usage"]) or self.answer.usage
        for choice in event.get("choices") or ():
            self._choice(choice, choice.get("delta") or {})

    def _choice(self, choice: Json, delta: Json) -> None:
        reason = choice.get("finish_reason")
        (self._begun if reason is None else self._ended).add(choice.get("index", 0))
        answer = self.answer
        text = delta.get("content")
        calls = delta.get("tool_calls")
        if text or calls:
            answer.size += _size(text, calls)
        if choice.get("index", 0) != 0:
            return
        answer.finish_reason = reason or answer.finish_reason
        if isinstance(text, str):
            answer.text += text
        if isinstance(refused := delta.get("refusal"), str):
            answer.refusal = (answer.refusal or "") + refused
        for call in calls or ():
            self._call(call, call.get("function") or {})

    def _call(self, call: Json, function: Json) -> None:
        calls = self.answer.tool_calls
        index = call.get("index", len(calls))
        if index >= len(calls):
            calls.append({"id": call.get("id") or "", "name": "", "arguments": ""})
        calls[-1]["name"] += function.get("name") or ""
        calls[-1]["arguments"] += function.get("arguments") or ""


class ResponsesReader:
    """Reads events of the Responses API; the last one holds the whole answer."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.whole = False
        self.error: str | None = None

    def feed(self, event: Json) -> None:
        """Take an event."""
        kind = event.get("type")
        if kind in ("response.completed", "response.incomplete"):
            self.answer, self.whole = of_response(event["response"]), True
        elif kind == "response.output_text.delta":
            self.answer.text += event["delta"]
            self.answer.size += len(event["delta"].encode("utf-8", "replace"))
        elif kind == "response.failed":
            self.error = said(event["response"].get("error"))
        elif kind == "error" or event.get("error"):
            self.error = said(event.get("error") or event)


def said(error: Any) -> str:
    """Return what an ``error`` object says, as one short line."""
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message or "an error").split())[:200]


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _arguments(call: Json) -> str:
    given = call["function"].get("arguments")
    return given if isinstance(given, str) else ""


def _size(text: Any, calls: Any) -> int:
    size = len(_text(text).encode("utf-8", "replace"))
    return size + (len(str(calls)) if calls else 0)
