"""Streams of Anthropic's Messages and of OpenAI's chat completions, each made of the other."""

from __future__ import annotations

import time

from .anthropic_words import chat_reason, chat_usage, messages_reason, messages_usage
from .base import Json


class ChatFromMessages:
    """Makes chat chunks of Messages events; the last chunk states the usage."""

    def __init__(self, model: str) -> None:
        self._base: Json = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._usage: Json = {}
        self._reason: str | None = None
        self._calls: dict[int, int] = {}  # index of the block: number of the call

    def feed(self, event: Json) -> list[Json]:
        """Take a Messages event; return chunks."""
        kind = event.get("type")
        if kind == "message_start":
            message = event["message"]
            self._base |= {k: message[k] for k in ("id", "model") if message.get(k)}
            self._usage |= message.get("usage") or {}
            return [self._chunk({"role": "assistant", "content": ""})]
        if kind == "content_block_start":
            return self._started(event["index"], event["content_block"])
        if kind == "content_block_delta":
            return self._went_on(event["index"], event["delta"])
        if kind == "message_delta":
            self._reason = event["delta"].get("stop_reason") or self._reason
            self._usage |= {k: v for k, v in (event.get("usage") or {}).items() if v is not None}
        if kind == "error":
            return [{"error": event["error"]}]
        return []

    def end(self) -> list[Json]:
        """Return why it ended, and the usage."""
        ended = self._chunk({}, chat_reason(self._reason or "end_turn"))
        return [ended, {**self._base, "choices": [], "usage": chat_usage(self._usage)}]

    def _started(self, index: int, block: Json) -> list[Json]:
        if block["type"] == "text" and block.get("text"):
            return [self._chunk({"content": block["text"]})]
        if block["type"] != "tool_use":
            return []
        self._calls[index] = len(self._calls)
        function = {"name": block["name"], "arguments": ""}
        return [self._call(index, {"id": block["id"], "type": "function", "function": function})]

    def _went_on(self, index: int, delta: Json) -> list[Json]:
        if delta["type"] == "text_delta":
            return [self._chunk({"content": delta["text"]})]
        if delta["type"] == "thinking_delta":
            return [self._chunk({"reasoning_content": delta["thinking"]})]
        if delta["type"] == "input_json_delta" and index in self._calls:
            return [self._call(index, {"function": {"arguments": delta["partial_json"]}})]
        return []

    def _call(self, index: int, call: Json) -> Json:
        return self._chunk({"tool_calls": [{"index": self._calls[index], **call}]})

    def _chunk(self, delta: Json, reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**self._base, "choices": [choice]}


class MessagesFromChat:
    """Makes Messages events of chat chunks."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._began = False
        self._block = -1  # number of the content block
        self._open: object = None  # what it holds: "text", "thinking", or the number of a call
        self._reason: str | None = None
        self._usage: Json | None = None

    def feed(self, event: Json) -> list[Json]:
        """Take a chunk; return events."""
        if event.get("error"):
            return [{"type": "error", "error": _error(event["error"])}]
        out = [] if self._began else [self._start(event)]
        self._usage = event.get("usage") or self._usage
        for choice in (event.get("choices") or ())[:1]:
            self._reason = choice.get("finish_reason") or self._reason
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content"):
                out += self._part("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                out.append(self._delta({"type": "thinking_delta", "thinking": thought}))
            if text := delta.get("content") or delta.get("refusal"):
                out += self._part("text", {"type": "text", "text": ""})
                out.append(self._delta({"type": "text_delta", "text": text}))
            for call in delta.get("tool_calls") or ():
                out += self._called(call)
        return out

    def end(self) -> list[Json]:
        """Return the end of the last block, why all ended, and the usage."""
        delta = {"stop_reason": messages_reason(self._reason), "stop_sequence": None}
        ended = {"type": "message_delta", "delta": delta, "usage": messages_usage(self._usage)}
        return [*self._close(), ended, {"type": "message_stop"}]

    def _start(self, chunk: Json) -> Json:
        self._began = True
        message: Json = {
            "id": chunk.get("id") or "msg_unknown",
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model") or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(chunk.get("usage")),
        }
        return {"type": "message_start", "message": message}

    def _called(self, call: Json) -> list[Json]:
        function = call.get("function") or {}
        name: Json = {"id": call.get("id") or "", "name": function.get("name") or "", "input": {}}
        out = self._part(call.get("index", 0), {"type": "tool_use", **name})
        if given := function.get("arguments"):
            out.append(self._delta({"type": "input_json_delta", "partial_json": given}))
        return out

    def _part(self, holds: object, block: Json) -> list[Json]:
        """Open a block for what comes, if it is not open."""
        if self._open == holds:
            return []
        out = self._close()
        self._block += 1
        self._open = holds
        start = {"type": "content_block_start", "index": self._block, "content_block": block}
        return [*out, start]

    def _delta(self, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": self._block, "delta": delta}

    def _close(self) -> list[Json]:
        if self._open is None:
            return []
        self._open = None
        return [{"type": "content_block_stop", "index": self._block}]


def _error(error: object) -> Json:
    message = error.get("message") if isinstance(error, dict) else error
    return {"type": "api_error", "message": str(message)}
