"""Anthropic's Messages and OpenAI's chat completions, each in the other's words.

What the other API has no word for is left out (``top_k`` and thinking budgets one way, ``seed``
and penalties the other); what would change the answer's meaning never comes here, see `wires`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from .anthropic_stream import ChatFromMessages, MessagesFromChat
from .anthropic_words import chat_reason, chat_usage, messages_reason, messages_usage
from .base import Json, StreamTranslator, chosen, joined

DEFAULT_MAX_TOKENS = 8192
"""Anthropic wants a limit on each answer; this is it where the client gave none."""

_JSON_ONLY = "Answer with a single JSON object and nothing else."


class MessagesOverChat:
    """A Messages request that a chat endpoint answers."""

    def __init__(self, raw: Json) -> None:
        self._raw = raw

    def request(self) -> Json:
        """Return it as a chat completion request."""
        raw = self._raw
        messages: list[Json] = []
        if raw.get("system"):
            messages.append({"role": "system", "content": joined(raw["system"])})
        for message in raw["messages"]:
            messages += _said(message["role"], message["content"])
        out: Json = {"model": raw["model"], "messages": messages}
        out |= chosen(raw, "max_tokens", "temperature", "top_p", "stream", stop="stop_sequences")
        if raw.get("tools"):
            out["tools"] = [_function(tool) for tool in raw["tools"]]
        out |= _chat_choice(raw.get("tool_choice"))
        wanted = (raw.get("output_config") or {}).get("format")
        if wanted:
            schema = {"name": "answer", "schema": wanted["schema"], "strict": True}
            out["response_format"] = {"type": "json_schema", "json_schema": schema}
        user = (raw.get("metadata") or {}).get("user_id")
        return out if user is None else {**out, "user": user}

    def answer(self, answer: Json) -> Json:
        """Return a chat completion as a Message."""
        choice = answer["choices"][0]
        message = choice["message"]
        content: list[Json] = []
        if text := message.get("content") or message.get("refusal"):
            content.append({"type": "text", "text": joined(text)})
        for call in message.get("tool_calls") or ():
            function = call["function"]
            given = _arguments(function.get("arguments"))
            content.append(
                {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}
            )
        reason = "refusal" if message.get("refusal") else None
        return {
            "id": answer.get("id") or "msg_unknown",
            "type": "message",
            "role": "assistant",
            "model": answer.get("model") or self._raw["model"],
            "content": content,
            "stop_reason": reason or messages_reason(choice.get("finish_reason")),
            "stop_sequence": None,
            "usage": messages_usage(answer.get("usage")),
        }

    def stream(self) -> StreamTranslator:
        """Return what makes a stream of Messages events of chat chunks."""
        return MessagesFromChat(self._raw["model"])


class ChatOverMessages:
    """A chat completion request that an Anthropic endpoint answers."""

    def __init__(self, raw: Json) -> None:
        self._raw = raw

    def request(self) -> Json:
        """Return it as a Messages request."""
        raw = self._raw
        system = [joined(m["content"]) for m in raw["messages"] if m["role"] in _SYSTEM]
        limit = raw.get("max_completion_tokens") or raw.get("max_tokens") or DEFAULT_MAX_TOKENS
        out: Json = {"model": raw["model"], "max_tokens": limit, "messages": _turns(raw)}
        out |= chosen(raw, "top_p", "stream")
        if raw.get("temperature") is not None:
            out["temperature"] = min(raw["temperature"], 1.0)  # OpenAI's scale goes to 2
        if stop := raw.get("stop"):
            out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
        if raw.get("tools"):
            out["tools"] = [_tool(tool["function"]) for tool in raw["tools"]]
        out |= _messages_choice(raw)
        wanted = raw.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            schema = wanted["json_schema"]["schema"]
            out["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        elif wanted.get("type") == "json_object":
            system.append(_JSON_ONLY)
        if raw.get("user"):
            out["metadata"] = {"user_id": raw["user"]}
        return {**out, "system": "\n\n".join(system)} if any(system) else out

    def answer(self, answer: Json) -> Json:
        """Return a Message as a chat completion."""
        blocks = answer["content"]
        message: Json = {"role": "assistant", "content": joined(_of(blocks, "text"), by="") or None}
        if thought := "".join(block["thinking"] for block in _of(blocks, "thinking")):
            message["reasoning_content"] = thought
        calls = [_call(block) for block in _of(blocks, "tool_use")]
        if calls:
            message["tool_calls"] = calls
        reason = chat_reason(answer.get("stop_reason"))
        return {
            "id": answer.get("id") or "",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": answer.get("model") or self._raw["model"],
            "choices": [
                {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
            ],
            "usage": chat_usage(answer.get("usage")),
        }

    def stream(self) -> StreamTranslator:
        """Return what makes chat chunks of a stream of Messages events."""
        return ChatFromMessages(self._raw["model"])


_SYSTEM = ("system", "developer")


def _of(blocks: list[Json], kind: str) -> list[Json]:
    return [block for block in blocks if block.get("type") == kind]


# -- Messages to chat ----------------------------------------------------------------------


def _said(role: str, content: Any) -> list[Json]:
    """Return the chat messages of one turn; results of tools are messages of their own there."""
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if role == "assistant":
        out: Json = {"role": role, "content": joined(_of(content, "text")) or None}
        calls = [_call(block) for block in _of(content, "tool_use")]
        return [{**out, "tool_calls": calls} if calls else out]
    results = [
        {
            "role": "tool",
            "tool_call_id": block["tool_use_id"],
            "content": joined(block.get("content")),
        }
        for block in _of(content, "tool_result")
    ]
    shown = [  # a tool's message holds text alone: its pictures follow in the user's
        inner
        for block in _of(content, "tool_result")
        if isinstance(block.get("content"), list)
        for inner in _of(block["content"], "image")
    ]
    parts = [_part(b) for b in [*shown, *content] if b["type"] in ("text", "image", "document")]
    if all(part["type"] == "text" for part in parts):
        return [*results, {"role": role, "content": joined(parts)}] if parts else [*results]
    return [*results, {"role": role, "content": parts}]


def _part(block: Json) -> Json:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    source = block["source"]
    if block["type"] == "document" and source["type"] == "text":
        return {"type": "text", "text": source["data"]}
    url = source.get("url") or f"data:{source['media_type']};base64,{source['data']}"
    if block["type"] == "document":
        file = {"filename": block.get("title") or "document.pdf", "file_data": url}
        return {"type": "file", "file": file}
    return {"type": "image_url", "image_url": {"url": url}}


def _function(tool: Json) -> Json:
    out = chosen(tool, "name", "description", parameters="input_schema")
    return {"type": "function", "function": out}


def _chat_choice(choice: Json | None) -> Json:
    if not choice:
        return {}
    kinds: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none"}
    named = {"type": "function", "function": {"name": choice.get("name")}}
    out: Json = {"tool_choice": kinds.get(choice["type"], named)}
    return {**out, "parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else out


# -- chat to Messages ----------------------------------------------------------------------


def _turns(raw: Json) -> list[Json]:
    """Return the turns; results of tools that follow one another are one turn of the user."""
    out: list[Json] = []
    for message in raw["messages"]:
        role, content = message["role"], message.get("content")
        if role in _SYSTEM:
            continue
        if role == "assistant":
            text = joined(content)
            blocks: list[Json] = [{"type": "text", "text": text}] if text else []
            blocks += [_use(call) for call in message.get("tool_calls") or ()]
        elif role == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
            blocks = [{**result, "content": joined(content)}]
            role = "user"
        elif isinstance(content, str):
            blocks = [{"type": "text", "text": content}]
        else:
            blocks = [said for part in content or () if (said := _block(part)) is not None]
        if out and out[-1]["role"] == role:
            out[-1]["content"] += blocks
        elif blocks:
            out.append({"role": role, "content": blocks})
    return out


def _block(part: Json) -> Json | None:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"])}
    if part["type"] == "file":
        return {"type": "document", "source": _source(part["file"]["file_data"])}
    return None


def _source(url: str) -> Json:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _tool(function: Json) -> Json:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {**chosen(function, "name", "description"), "input_schema": schema}


def _messages_choice(raw: Json) -> Json:
    choice, one = raw.get("tool_choice"), raw.get("parallel_tool_calls") is False
    if choice is None and not (one and raw.get("tools")):
        return {}
    kinds = {None: "auto", "auto": "auto", "none": "none", "required": "any"}
    if isinstance(choice, dict):
        out: Json = {"type": "tool", "name": choice["function"]["name"]}
    else:
        out = {"type": kinds[choice]}
    return {"tool_choice": {**out, "disable_parallel_tool_use": True} if one else out}


# -- calls of tools, both ways -------------------------------------------------------------


def _call(block: Json) -> Json:
    given = json.dumps(block["input"], ensure_ascii=False)
    function = {"name": block["name"], "arguments": given}
    return {"id": block["id"], "type": "function", "function": function}


def _use(call: Json) -> Json:
    function = call["function"]
    given = _arguments(function.get("arguments"))
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}


def _arguments(text: str | None) -> Json:
    """Return a call's arguments; what a model wrote that is no object is handed on as text."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"arguments": text}
