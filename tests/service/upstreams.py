"""Small real servers that speak the protocols of LLM providers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from aiohttp import web
from aiohttp.test_utils import TestServer

TOOL = {"name": "weather", "arguments": '{"city": "Bern"}'}


class Provider:
    """Answers what it is told to, remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.paths: list[str] = []
        self.calls_tool = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.left = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.headers.append(request.headers.copy())
        self.paths.append(request.path)
        try:
            if not body.get("stream"):
                await self.gate.wait()
                return web.json_response(self.whole(request.path, body))
            response = web.StreamResponse()
            response.content_type = "text/event-stream"
            await response.prepare(request)
            for number, event in enumerate(self.events(request.path, body)):
                if number == 3:
                    await self.gate.wait()
                await response.write(event.encode())
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise
        return response

    def whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def events(self, path: str, body: dict[str, Any]) -> list[str]:
        raise NotImplementedError

    @asynccontextmanager
    async def served(self, *paths: str) -> AsyncIterator[Provider]:
        app = web.Application()
        for path in paths:
            app.router.add_post(f"/v1{path}", self.handle)
        server = TestServer(app)
        await server.start_server()
        self.url = str(server.make_url("/v1"))
        yield self
        self.gate.set()
        await server.close()


class OpenAIProvider(Provider):
    """Chat completions, and whatever else it is served under."""

    usage: ClassVar[dict[str, Any]] = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }

    def whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/embeddings"):
            item = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
            usage = {"prompt_tokens": 8, "total_tokens": 8}
            return {"object": "list", "data": [item], "model": body["model"], "usage": usage}
        if path.endswith("/responses"):
            return self.response(body)
        message: dict[str, Any] = {"role": "assistant", "content": "Grüezi, Welt"}
        reason = "stop"
        if self.calls_tool:
            calls = [{"id": "call_1", "type": "function", "function": TOOL}]
            message, reason = (
                {"role": "assistant", "content": None, "tool_calls": calls},
                "tool_calls",
            )
        choices = [
            {"index": i, "message": message, "finish_reason": reason}
            for i in range(body.get("n") or 1)
        ]
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1,
                "model": body["model"], "choices": choices, "usage": self.usage}  # fmt: skip

    def response(self, body: dict[str, Any]) -> dict[str, Any]:
        part = {"type": "output_text", "text": "native", "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                   "content": [part]}  # fmt: skip
        usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
                 "input_tokens_details": {"cached_tokens": 60},
                 "output_tokens_details": {"reasoning_tokens": 5}}  # fmt: skip
        return {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
                "model": body["model"], "output": [message], "usage": usage, "tools": [],
                "tool_choice": "auto", "parallel_tool_calls": True}  # fmt: skip

    def events(self, path: str, body: dict[str, Any]) -> list[str]:
        if path.endswith("/responses"):
            whole = self.response(body)
            delta = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
                     "content_index": 0, "logprobs": [], "sequence_number": 1}  # fmt: skip
            return [
                _named({"type": "response.created", "sequence_number": 0, "response": whole}),
                _named({**delta, "delta": "nat"}),
                _named({**delta, "delta": "ive"}),
                _named({"type": "response.completed", "sequence_number": 3, "response": whole}),
            ]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        reason = "stop"
        if self.calls_tool:
            call = {"index": 0, "id": "call_1", "type": "function"}
            deltas.append({"tool_calls": [{**call, "function": {**TOOL, "arguments": ""}}]})
            pieces = ('{"city": ', '"Bern"}')
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces
            ]
            reason = "tool_calls"
        else:
            deltas += [{"content": "Grüezi"}, {"content": ", Welt"}]
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                "model": body["model"]}  # fmt: skip
        chunks = [{"index": 0, "delta": d, "finish_reason": None} for d in deltas]
        chunks.append({"index": 0, "delta": {}, "finish_reason": reason})
        out = [f"data: {json.dumps({**base, 'choices': [chunk]})}\n\n" for chunk in chunks]
        if (body.get("stream_options") or {}).get("include_usage"):
            last = {**base, "choices": [], "usage": self.usage}
            out.append(f"data: {json.dumps(last)}\n\n")
        return [*out, "data: [DONE]\n\n"]


class AnthropicProvider(Provider):
    """Anthropic's Messages."""

    usage: ClassVar[dict[str, Any]] = {
        "input_tokens": 40,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 0,
        "output_tokens": 20,
    }

    def whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": "Guten Tag, Welt"}]
        reason = "end_turn"
        if self.calls_tool:
            given = json.loads(TOOL["arguments"])
            content = [{"type": "tool_use", "id": "toolu_1", "name": TOOL["name"], "input": given}]
            reason = "tool_use"
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
                "content": content, "stop_reason": reason, "stop_sequence": None,
                "usage": self.usage}  # fmt: skip

    def events(self, path: str, body: dict[str, Any]) -> list[str]:
        message = {**self.whole(path, body), "content": [], "stop_reason": None,
                   "usage": {**self.usage, "output_tokens": 1}}  # fmt: skip
        block: dict[str, Any] = {"type": "text", "text": ""}
        deltas: list[dict[str, Any]] = [
            {"type": "text_delta", "text": "Guten Tag"},
            {"type": "text_delta", "text": ", Welt"},
        ]
        reason = "end_turn"
        if self.calls_tool:
            block = {"type": "tool_use", "id": "toolu_1", "name": TOOL["name"], "input": {}}
            pieces = ('{"city": ', '"Bern"}')
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            reason = "tool_use"
        events = [
            {"type": "message_start", "message": message},
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": block},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
             "usage": {"output_tokens": 20}},
            {"type": "message_stop"},
        ]  # fmt: skip
        return [_named(event) for event in events]


def _named(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
