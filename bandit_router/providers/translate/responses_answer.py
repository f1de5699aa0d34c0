"""What answers a request of OpenAI's Responses API, made of chat completions and their chunks."""

from __future__ import annotations

import secrets
import time
from typing import Any

from .base import Json, joined

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "previous_response_id",
    "temperature",
    "top_p",
    "user",
)


def response(raw: Json, answer: Json, reason: str | None) -> Json:
    """Return a response without its output, for the request `raw`."""
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reason or "")
    return {
        "id": f"resp_{secrets.token_hex(16)}",
        "object": "response",
        "created_at": answer.get("created") or int(time.time()),
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "model": answer.get("model") or raw["model"],
        "output": [],
        "parallel_tool_calls": raw.get("parallel_tool_calls", True),
        "reasoning": raw.get("reasoning") or {"effort": None, "summary": None},
        "store": False,
        "text": raw.get("text") or {"format": {"type": "text"}},
        "tool_choice": raw.get("tool_choice") or "auto",
        "tools": raw.get("tools") or [],
        "truncation": "disabled",
        "usage": None,
        "metadata": raw.get("metadata") or {},
        **{name: raw.get(name) for name in _ECHOED},
    }


def response_output(message: Json) -> list[Json]:
    """Return a chat message as items of output."""
    out: list[Json] = []
    parts: list[Json] = []
    if text := joined(message.get("content")):
        parts.append(_text(text))
    if refusal := message.get("refusal"):
        parts.append({"type": "refusal", "refusal": refusal})
    if parts:
        out.append(_message(parts))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        out.append(_call(call["id"], function["name"], function.get("arguments") or ""))
    return out


def response_usage(usage: Json | None) -> Json | None:
    """Return the usage of a chat completion in the words of the Responses API."""
    if not usage:
        return None
    read = usage.get("prompt_tokens_details") or {}
    wrote = usage.get("completion_tokens_details") or {}
    taken, given = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": read.get("cached_tokens") or 0},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": wrote.get("reasoning_tokens") or 0},
        "total_tokens": taken + given,
    }


class ResponsesFromChat:
    """Makes events of the Responses API of chat chunks."""

    def __init__(self, raw: Json) -> None:
        self._raw = raw
        self._response: Json | None = None
        self._number = 0
        self._open: object = None  # "text", "refusal", or the number of a call
        self._item: Json = {}
        self._done: list[Json] = []
        self._reason: str | None = None
        self._usage: Json | None = None

    def feed(self, event: Json) -> list[Json]:
        """Take a chunk; return events."""
        if event.get("error"):
            error = event["error"] if isinstance(event["error"], dict) else {}
            said = {"code": error.get("code"), "message": error.get("message"), "param": None}
            return [self._event("error", **said, error=event["error"])]
        out = [] if self._response else self._start(event)
        self._usage = event.get("usage") or self._usage
        for choice in (event.get("choices") or ())[:1]:
            self._reason = choice.get("finish_reason") or self._reason
            delta = choice.get("delta") or {}
            if text := delta.get("content"):
                out += self._said("text", "output_text", text)
            if refusal := delta.get("refusal"):
                out += self._said("refusal", "refusal", refusal)
            for call in delta.get("tool_calls") or ():
                out += self._called(call)
        return out

    def end(self) -> list[Json]:
        """Return the end of the last item, and the whole response."""
        assert self._response is not None
        out = self._close()
        ended = response(self._raw, self._response, self._reason)
        whole = {**ended, "id": self._response["id"], "output": self._done}
        whole["created_at"] = self._response["created_at"]
        whole["usage"] = response_usage(self._usage)
        return [*out, self._event(f"response.{whole['status']}", response=whole)]

    def _start(self, chunk: Json) -> list[Json]:
        self._response = {**response(self._raw, chunk, None), "status": "in_progress"}
        kinds = ("response.created", "response.in_progress")
        return [self._event(kind, response=self._response) for kind in kinds]

    def _said(self, holds: str, kind: str, text: str) -> list[Json]:
        out: list[Json] = []
        if self._open != holds:
            out = self._add(holds, {**_message([]), "status": "in_progress"})
            part = _text("") if holds == "text" else {"type": "refusal", "refusal": ""}
            self._item["content"].append(part)
            out.append(self._event("response.content_part.added", **self._at(), part=dict(part)))
        part = self._item["content"][0]
        part[holds] += text
        extra: Json = {"logprobs": []} if holds == "text" else {}
        return [*out, self._event(f"response.{kind}.delta", **self._at(), delta=text, **extra)]

    def _called(self, call: Json) -> list[Json]:
        function = call.get("function") or {}
        out: list[Json] = []
        number = call.get("index", 0)
        if self._open != number:
            item = _call(call.get("id") or "", function.get("name") or "", "")
            out = self._add(number, {**item, "status": "in_progress"})
        if given := function.get("arguments"):
            self._item["arguments"] += given
            kind = "response.function_call_arguments.delta"
            out.append(self._event(kind, **self._where(), delta=given))
        return out

    def _add(self, holds: object, item: Json) -> list[Json]:
        out = self._close()
        self._open, self._item = holds, item
        shown = {**item, "content": []} if "content" in item else dict(item)
        index = len(self._done)
        return [*out, self._event("response.output_item.added", output_index=index, item=shown)]

    def _close(self) -> list[Json]:
        if self._open is None:
            return []
        item = self._item
        out: list[Json] = []
        if item["type"] == "function_call":
            kind = "response.function_call_arguments.done"
            said = {"arguments": item["arguments"], "name": item["name"]}
            out.append(self._event(kind, **self._where(), **said))
        else:
            part = item["content"][0]
            if part["type"] == "refusal":
                said = {"refusal": part["refusal"]}
                out.append(self._event("response.refusal.done", **self._at(), **said))
            else:
                said = {"text": part["text"], "logprobs": []}
                out.append(self._event("response.output_text.done", **self._at(), **said))
            out.append(self._event("response.content_part.done", **self._at(), part=part))
        item["status"] = "completed"
        index = len(self._done)
        out.append(self._event("response.output_item.done", output_index=index, item=item))
        self._done.append(item)
        self._open = None
        return out

    def _where(self) -> Json:
        return {"item_id": self._item["id"], "output_index": len(self._done)}

    def _at(self) -> Json:
        return {**self._where(), "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> Json:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **fields}


def _message(content: list[Json]) -> Json:
    return {
        "type": "message",
        "id": f"msg_{secrets.token_hex(16)}",
        "status": "completed",
        "role": "assistant",
        "content": content,
    }


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(id_: str, name: str, arguments: str) -> Json:
    return {
        "type": "function_call",
        "id": f"fc_{secrets.token_hex(16)}",
        "call_id": id_,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }
