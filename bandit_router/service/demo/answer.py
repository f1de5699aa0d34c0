"""The demo fleet's answers in OpenAI's form: what the recorded outcome was."""

from __future__ import annotations

import json
import time
from typing import Any

from aiohttp import web

from ...types import Decision
from ..wire import Demo


async def completion(
    request: web.Request,
    decision: Decision,
    demo: Demo | None,
    stream: bool,
    headers: dict[str, str],
) -> web.StreamResponse:
    """Answer in the words of the demo: no model is called."""
    content = _content(decision, demo)
    base: dict[str, Any] = {
        "id": f"demo-{decision.decision_id}",
        "created": int(time.time()),
        "model": decision.model,
    }
    if not stream:
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {**base, "object": "chat.completion", "choices": [choice]}
        return web.json_response(answer, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_type = "text/event-stream"
    await response.prepare(request)
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": content}, None),
        ({}, "stop"),
    ]
    for delta, reason in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        event = {**base, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _content(decision: Decision, demo: Demo | None) -> str:
    if demo is None:
        return (
            f"This is the demo fleet: {decision.model} was chosen, but no bundled prompt is like "
            "yours, so there is no recorded outcome to learn from."
        )
    return (
        f"This is the demo fleet: {decision.model} was chosen. On the nearest bundled prompt "
        f"({demo.nearest[:200]!r}, similarity {demo.similarity:.2f}) its answer was graded "
        f"{demo.quality:.2f} and cost {demo.cost_usd:.6f} US dollars."
    )
