"""Feedback without clicks, over real HTTP: a real SDK, real upstream servers, the real log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bandit_router.config import parse_config
from bandit_router.exceptions import ConfigError
from bandit_router.service import create_app
from bandit_router.service.keys import ENGINE
from bandit_router.service.signals import SIGNALS

from ..upstreams import OpenAIProvider

TALK: list[Any] = [{"role": "user", "content": "how deep is the lake of Zurich"}]
SCHEMA = {"type": "object", "properties": {"metres": {"type": "integer"}}, "required": ["metres"]}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "depth", "schema": SCHEMA}}


class Talker(OpenAIProvider):
    """Says what it is told to."""

    says = '{"metres": 136}'
    status = 200

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.status != 200:
            return web.json_response({"error": {"message": "busy"}}, status=self.status)
        return await super().handle(request)

    def whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        out = super().whole(path, body)
        for choice in out["choices"]:
            choice["message"]["content"] = self.says
        return out

    def events(self, path: str, body: dict[str, Any]) -> list[str]:
        pieces = [self.says[i : i + 5] for i in range(0, len(self.says), 5)]
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        deltas: list[tuple[Any, Any]] = [({"content": piece}, None) for piece in pieces]
        chunks = [
            {"index": 0, "delta": delta, "finish_reason": reason}
            for delta, reason in [*deltas, ({}, "stop")]
        ]
        return [
            *(f"data: {json.dumps({**base, 'choices': [c]})}\n\n" for c in chunks),
            "data: [DONE]\n\n",
        ]


class World:
    """A gateway before one talker that serves two models, and a client."""

    def __init__(self, service: Any, upstream: Talker) -> None:
        self.service = service
        self.upstream = upstream
        base = str(service.make_url("/v1"))
        self.client = openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0)

    async def ask(self, session: str | None = None, **body: Any) -> str:
        headers = {"x-bandit-router-session": session} if session else {}
        body = {"model": "auto", "messages": TALK, "extra_headers": headers, **body}
        raw = await self.client.chat.completions.with_raw_response.create(**body)
        if body.get("stream"):
            async for _ in raw.parse():
                pass
        return str(raw.headers["x-bandit-router-decision-id"])

    async def settled(self) -> None:
        """Wait for every signal to have seen every answer."""
        await asyncio.sleep(0.01)
        for line in self.service.app[SIGNALS].lines:
            await line._queue.join()

    async def words(self, decision_id: str) -> dict[str, float]:
        await self.settled()
        answer = await (await self.service.get(f"/decisions/{decision_id}")).json()
        return {f["source"]: f["reward"] for f in answer["feedback"]}

    async def signals(self) -> Any:
        await self.settled()
        return await (await self.service.get("/signals")).json()


@pytest.fixture
async def world(start: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        upstream = Talker()
        await stack.enter_async_context(upstream.served("/chat/completions"))

        async def begin(**tables: Any) -> World:
            endpoint = {"base_url": upstream.url}
            models = [
                {"name": name, "input_usd_per_m": 1, "output_usd_per_m": 2, "endpoints": [endpoint]}
                for name in ("one", "two")
            ]
            world = World(await start(parse_config({"models": models, **tables})), upstream)
            stack.push_async_callback(world.client.close)
            return world

        yield begin


async def served(handle: Any) -> TestServer:
    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_checked_against_its_schema(world: Any, stream: bool) -> None:
    gateway = await world()
    good = await gateway.ask(response_format=FORMAT, stream=stream)
    gateway.upstream.says = "136 metres"
    bad = await gateway.ask(response_format=FORMAT, stream=stream)
    plain = await gateway.ask(stream=stream)
    assert await gateway.words(good) == {"verifier:schema": 1.0}
    assert await gateway.words(bad) == {"verifier:schema": 0.0}
    assert await gateway.words(plain) == {}


async def test_what_counts_is_the_weight_of_the_signal(world: Any) -> None:
    gateway = await world(feedback={"weights": {"verifier:schema": 0.25}})
    gateway.upstream.says = ""
    decision = await gateway.ask(response_format=FORMAT)
    assert await gateway.words(decision) == {"verifier:answer": 0.0, "verifier:schema": 0.0}
    arms = gateway.service.app[ENGINE].router.arms()
    assert sum(arm.evidence for arm in arms) == pytest.approx(0.25 + 0.5)


async def test_an_upstream_that_fails_is_never_bad_quality(world: Any) -> None:
    gateway = await world()
    gateway.upstream.status = 500
    with pytest.raises(openai.APIStatusError) as failed:
        await gateway.ask("s", response_format=FORMAT)
    decision = failed.value.response.headers["x-bandit-router-decision-id"]
    gateway.upstream.status = 200
    second = await gateway.ask("s")  # no second try: there had been no answer
    assert await gateway.words(decision) == {}
    assert await gateway.words(second) == {}


async def test_users_who_ask_again(world: Any) -> None:
    gateway = await world()
    first = await gateway.ask("s")
    second = await gateway.ask("s")
    other = [{"role": "user", "content": "write a poem on cats"}]
    third = await gateway.ask("s", messages=other)
    assert await gateway.words(first) == {"implicit:regenerate": 0.0}
    assert await gateway.words(second) == {"implicit:moved-on": 1.0}
    assert await gateway.words(third) == {}


def check(request: dict[str, Any], answer: dict[str, Any]) -> float | None:
    return None if len(request["messages"]) > 1 else float("136" in answer["text"])


async def recheck(request: dict[str, Any], answer: dict[str, Any]) -> bool:
    return "136" not in answer["text"]


@pytest.mark.parametrize(("name", "reward"), [("check", 1.0), ("recheck", 0.0)])
async def test_a_function_of_the_operators(world: Any, name: str, reward: float) -> None:
    gateway = await world(signals={"check": f"{__name__}:{name}"})
    assert await gateway.words(await gateway.ask()) == {"verifier:check": reward}


async def test_a_webhook_sees_answers_and_is_in_nobodys_way(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "sesame")
    gate, seen = asyncio.Event(), []
    replies = [{"reward": 0.75}, {"rating": "up"}, None, {"reward": 7}]

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Authorization"), await request.json()))
        await gate.wait()
        reply = replies[len(seen) - 1]
        return web.Response(status=204) if reply is None else web.json_response(reply)

    server = await served(handle)
    table = {"webhook": str(server.make_url("/hook")), "webhook_token_env": "HOOK_TOKEN"}
    gateway = await world(signals=table)
    asked = [await gateway.ask()]  # answered, though the webhook says nothing yet
    gate.set()
    assert await gateway.words(asked[0]) == {"verifier:webhook": 0.75}
    for says in ({"verifier:webhook": 1.0}, {}, {}):
        assert await gateway.words(await gateway.ask()) == says
    token, told = seen[0]
    assert token == "Bearer sesame"
    assert (told["decision_id"], told["answer"]["text"]) == (asked[0], '{"metres": 136}')
    assert told["request"]["messages"] == TALK
    (line,) = (s for s in (await gateway.signals())["signals"] if s["signal"] == "webhook")
    assert (line["seen"], line["told"], line["failed"]) == (3, 2, 1)
    await server.close()


class Grader:
    """An LLM that grades."""

    def __init__(self, says: Any) -> None:
        self.says = says
        self.seen: list[str] = []
        self.picky = False

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.picky and "temperature" in body:
            return web.json_response({"error": {"message": "not supported"}}, status=400)
        self.seen.append(body["messages"][1]["content"])
        text = self.says(self.seen[-1]) if callable(self.says) else self.says
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 1000, "completion_tokens": 10}
        return web.json_response({"choices": [{"message": message}], "usage": usage})

    async def handle_hook(self, request: web.Request) -> web.Response:
        self.seen.append(await request.text())
        return web.Response(status=204)


async def judged(world: Any, grader: Grader, **settings: Any) -> tuple[World, TestServer]:
    server = await served(grader.handle)
    table = {"share": 1.0, "base_url": str(server.make_url("/v1")), "model": "grader", **settings}
    return await world(answer_judge=table), server


async def test_a_judge_grades_and_is_held_against_people(world: Any) -> None:
    grader = Grader("Mark: 9")
    gateway, server = await judged(world, grader)
    unclear = [(says, 1.0) for says in ("none", "-3", "On a scale from 0 to 10 an 8")]
    for says, reward in (("9", 1.0), ("2", 0.0), ("7/10", 0.0), *unclear):
        grader.says = says
        decision = await gateway.ask()
        said = {"decision_id": decision, "reward": reward}
        await gateway.service.post("/feedback", json=said)
        await gateway.settled()
    assert '<answer>\n{"metres": 136}\n</answer>' in grader.seen[0]
    assert TALK[0]["content"] in grader.seen[0]
    found = await gateway.signals()
    sources = {source["source"]: source for source in found["sources"]}
    assert sources["judge"]["decisions"] == 3
    assert sources["judge"]["mean_reward"] == pytest.approx(0.6)
    assert sources["judge"]["weight"] == 0.5
    people = sources["judge"]["with_people"]
    assert (people["decisions"], people["same_side"]) == (3, pytest.approx(2 / 3))
    assert people["correlation"] > 0
    assert sources["user"]["with_people"] is None
    usd = 6 * (1000 * 0.15 + 10 * 0.60) / 1e6
    assert found["answer_judge"]["spent_today_usd"] == pytest.approx(usd)
    await server.close()


def scrub(text: str) -> str:
    return text.replace("Zurich", "[lake]")


async def test_what_is_sent_elsewhere_is_redacted(world: Any) -> None:
    grader, hooked = Grader("5"), Grader("")
    server, hook = await served(grader.handle), await served(hooked.handle_hook)
    judge = {"share": 1.0, "base_url": str(server.make_url("/v1")), "model": "grader"}
    gateway = await world(
        answer_judge=judge,
        signals={"webhook": str(hook.make_url("/"))},
        store={"redact": f"{__name__}:scrub"},
    )
    gateway.upstream.says = "Zurich: 136 m"
    await gateway.ask()
    await gateway.settled()
    assert gateway.upstream.seen[0]["messages"] == TALK
    for (text,) in (grader.seen, hooked.seen):
        assert "[lake]: 136 m" in text
        assert "Zurich" not in text
    await server.close()
    await hook.close()


async def test_a_judge_stops_when_its_money_is_spent_also_after_a_restart(
    world: Any, start: Any
) -> None:
    grader = Grader("5")
    gateway, server = await judged(world, grader, usd_per_day=0.00015)
    for _ in range(3):
        await gateway.ask()
        await gateway.settled()
    assert len(grader.seen) == 1
    config = gateway.service.app[ENGINE].config
    await gateway.service.close()
    again = World(await start(config), gateway.upstream)
    await again.ask()
    assert (await again.signals())["answer_judge"]["spent_today_usd"] == pytest.approx(0.000156)
    assert len(grader.seen) == 1
    await again.client.close()
    await server.close()


async def test_a_judge_that_takes_no_settings_and_a_picture_that_it_cannot_see(world: Any) -> None:
    grader = Grader("10")
    grader.picky = True
    gateway, server = await judged(world, grader)
    assert await gateway.words(await gateway.ask()) == {"judge": 1.0}
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    said = [{"type": "text", "text": "What is this?"}, picture]
    seen = await gateway.ask(messages=[{"role": "user", "content": said}])
    assert await gateway.words(seen) == {}
    await server.close()


async def test_other_apis_are_looked_at_alike(world: Any) -> None:
    gateway = await world()
    root = str(gateway.service.make_url("")).removesuffix("/")
    async with anthropic.AsyncAnthropic(base_url=root, api_key="none") as client:
        create = client.messages.create
        form: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
        asked: Any = {"model": "auto", "max_tokens": 50, "output_config": form}
        first = await create(messages=TALK, **asked)
        follow: Any = [
            *TALK,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": "write a poem on cats"},
        ]
        await create(messages=follow, **asked)
    wanted = {"format": {"type": "json_schema", "name": "depth", "schema": SCHEMA}}
    respond: Any = gateway.client.responses.create
    second = await respond(model="auto", input="how deep?", text=wanted)
    said = await gateway.words(first._request_id or "")
    assert said == {"verifier:schema": 1.0, "implicit:moved-on": 1.0}
    gateway.upstream.says = "no"
    answer = [{"role": "assistant", "content": second.output_text}]
    talk = [{"role": "user", "content": "how deep?"}, *answer, {"role": "user", "content": "why?"}]
    third = await respond(model="auto", input=talk, text=wanted)
    said = await gateway.words(second._request_id or "")
    assert said == {"verifier:schema": 1.0, "implicit:moved-on": 1.0}
    said = await gateway.words(third._request_id or "")
    assert said == {"verifier:schema": 0.0}


async def test_two_answers_are_compared_in_an_order_that_is_drawn(world: Any) -> None:
    grader = Grader("A")
    gateway, server = await judged(world, grader, method="pairwise")
    rewards = []
    for _ in range(12):
        words = await gateway.words(await gateway.ask())
        rewards.append(words["judge"])
    assert set(rewards) == {0.0, 1.0}  # always A: only its place counts
    assert {body["model"] for body in gateway.upstream.seen} == {"one", "two"}
    grader.says = "tie."
    assert await gateway.words(await gateway.ask()) == {"judge": 0.5}
    assert (await gateway.signals())["answer_judge"]["spent_today_usd"] > 13 * 0.000156
    await server.close()


async def test_a_line_that_is_full_lets_answers_pass(world: Any) -> None:
    gate = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response({"reward": 1})

    server = await served(handle)
    table = {"webhook": str(server.make_url("/")), "queue": 1}
    gateway = await world(signals=table)
    for _ in range(8):
        await gateway.ask()
    await asyncio.sleep(0.01)
    gate.set()
    (line,) = (s for s in (await gateway.signals())["signals"] if s["signal"] == "webhook")
    assert line["seen"] + line["dropped"] == 8
    assert line["dropped"] > 0
    await server.close()


async def test_a_page_says_by_the_link_what_its_user_thinks(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINK_SECRET", "s" * 32)
    site = "https://app.example.com"
    gateway = await world(
        keys={"signing_secret_env": "LINK_SECRET"}, server={"cors_origins": [site]}
    )
    body = {"model": "auto", "messages": TALK, "stream": True}
    answer = await gateway.service.post("/v1/chat/completions", json=body, headers={"Origin": site})
    assert "x-bandit-router-feedback-url" in answer.headers["Access-Control-Expose-Headers"]
    link = answer.headers["x-bandit-router-feedback-url"]
    said = await gateway.service.post(link, json={"rating": "down"}, headers={"Origin": site})
    assert (await said.json()) == {"status": "recorded"}
    assert said.headers["Access-Control-Allow-Origin"] == site
    decision = answer.headers["x-bandit-router-decision-id"]
    assert await gateway.words(decision) == {"user": 0.0}


@pytest.mark.parametrize(
    ("tables", "field"),
    [
        ({"signals": {"check": "no.such:thing"}}, "signals.check"),
        ({"signals": {"check": "json:nothing"}}, "signals.check"),
        ({"signals": {"webhook": "http://x", "webhook_token_env": "NO_SUCH"}}, "webhook_token_env"),
        ({"answer_judge": {"share": 0.1}}, "answer_judge.base_url"),
    ],
)
async def test_a_signal_that_cannot_be_had_is_refused_at_the_start(
    db: Any, embedder: Any, tables: Any, field: str
) -> None:
    app = create_app(parse_config({"models": [{"name": "m"}], **tables}), db=db, embedder=embedder)
    runner = web.AppRunner(app)
    with pytest.raises(ConfigError, match=field):
        await runner.setup()
    await runner.cleanup()
