"""A request of OpenAI's Responses API that a chat endpoint answers.

Nothing is kept between requests, so what refers to an earlier one never comes here; see `wires`.
"""

from __future__ import annotations

from typing import Any

from .base import Json, StreamTranslator, chosen, joined
from .responses_answer import ResponsesFromChat, response, response_output, response_usage


class ResponsesOverChat:
    """Translates one request, and what answers it."""

    def __init__(self, raw: Json) -> None:
        self._raw = raw

    def request(self) -> Json:
        """Return it as a chat completion request."""
        raw = self._raw
        messages: list[Json] = []
        if raw.get("instructions"):
            messages.append({"role": "system", "content": raw["instructions"]})
        given = raw["input"]
        if isinstance(given, str):
            messages.append({"role": "user", "content": given})
        else:
            for item in given:
                _append(messages, item)
        out: Json = {"model": raw["model"], "messages": messages}
        out |= chosen(raw, "temperature", "top_p", "stream", "user", "parallel_tool_calls")
        out |= chosen(raw, max_tokens="max_output_tokens")
        if raw.get("tools"):
            out["tools"] = [{"type": "function", "function": _plain(tool)} for tool in raw["tools"]]
        choice = raw.get("tool_choice")
        if isinstance(choice, dict):
            choice = {"type": "function", "function": {"name": choice["name"]}}
        if choice is not None and raw.get("tools"):
            out["tool_choice"] = choice
        out |= chosen(raw.get("reasoning") or {}, reasoning_effort="effort")
        out |= chosen(raw.get("text") or {}, "verbosity")
        return out | _format((raw.get("text") or {}).get("format"))

    def answer(self, answer: Json) -> Json:
        """Return a chat completion as a response."""
        choice = answer["choices"][0]
        out = response(self._raw, answer, choice.get("finish_reason"))
        output = response_output(choice["message"])
        return {**out, "output": output, "usage": response_usage(answer.get("usage"))}

    def stream(self) -> StreamTranslator:
        """Return what makes a stream of response events of chat chunks."""
        return ResponsesFromChat(self._raw)


def _append(messages: list[Json], item: Json) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = "system" if item["role"] == "developer" else item["role"]
        messages.append({"role": role, "content": _content(item["content"], role)})
    elif kind == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "type": "function", "function": function}
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant":  # a turn's words and calls are one message there
            last.setdefault("tool_calls", []).append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        said = joined(item["output"])
        messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": said})


def _content(content: Any, role: str) -> Any:
    if isinstance(content, str):
        return content
    parts = [said for part in content if (said := _part(part)) is not None]
    text_only = all(part["type"] == "text" for part in parts)
    return joined(parts) if role != "user" or text_only else parts


def _part(part: Json) -> Json | None:
    kind = part["type"]
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "text", "text": part["refusal"]}
    if kind == "input_image" and part.get("image_url"):
        return {"type": "image_url", "image_url": chosen(part, "detail", url="image_url")}
    if kind == "input_file" and part.get("file_data"):
        return {"type": "file", "file": chosen(part, "file_data", "filename")}
    return None


def _plain(tool: Json) -> Json:
    return chosen(tool, "name", "description", "parameters", "strict")


def _format(wanted: Json | None) -> Json:
    if not wanted or wanted["type"] == "text":
        return {}
    if wanted["type"] != "json_schema":
        return {"response_format": wanted}
    schema = chosen(wanted, "name", "description", "schema", "strict")
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
