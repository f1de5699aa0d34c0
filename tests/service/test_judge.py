"""The strategy `llm-judge` with a real endpoint: asked once, in time, and never trusted blindly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bandit_router.exceptions import ConfigError
from bandit_router.service import create_app
from bandit_router.service.keys import ENGINE

from .conftest import config

LARGE = "vendor/large v2"


class Judge:
    """An OpenAI-compatible endpoint that names models."""

    def __init__(self) -> None:
        self.says: Any = LARGE
        self.usage: dict[str, int] | None = {"prompt_tokens": 1000, "completion_tokens": 10}
        self.seen: list[Any] = []
        self.keys: list[str | None] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        if self.says == "hang":
            await asyncio.sleep(30)
        if self.says == "down":
            return web.json_response({"error": {"message": "busy"}}, status=503)
        if self.says == "garbage":
            return web.Response(text="<html>", content_type="application/json")
        message = {"role": "assistant", "content": self.says}
        body = {"choices": [{"index": 0, "message": message}], "usage": self.usage}
        return web.json_response(body)


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    out = Judge()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", out.handle)
    server = TestServer(app)
    await server.start_server()
    out.url = str(server.make_url("/v1"))  # type: ignore[attr-defined]
    yield out
    await server.close()


def judged(judge: Judge, *, strategy: str = "llm-judge", **bandit: Any) -> Any:
    table = {
        "base_url": judge.url,  # type: ignore[attr-defined]
        "model": "judge-1",
        "api_key_env": "JUDGE_KEY",
        "timeout_s": 0.3,
        "fallback": "small",
        "input_usd_per_m": 1.0,
        "output_usd_per_m": 10.0,
    }
    return config(bandit={"strategy": strategy, **bandit}, llm_judge=table)


async def why(client: Any, **body: Any) -> Any:
    response = await client.post("/route", json={"prompt": "Prove that 17 is prime.", **body})
    assert response.status == 200, await response.text()
    answer = await response.json()
    return await (await client.get(f"/decisions/{answer['decision_id']}")).json()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sesame")


async def test_the_model_that_the_judge_names_is_chosen(start: Any, judge: Judge) -> None:
    client = await start(judged(judge))
    decision = await why(client)
    assert (decision["model"], decision["policy"]) == (LARGE, "llm-judge")
    assert decision["exact"] is False  # what else the judge might have said is not known
    assert decision["propensity_draws"] == 0
    assert decision["advice"]["cost_usd"] == pytest.approx(1000 * 1e-6 + 10 * 10e-6)
    assert decision["advice"]["latency_ms"] > 0
    (seen,) = judge.seen
    assert (seen["model"], seen["temperature"]) == ("judge-1", 0)
    assert "Prove that 17 is prime." in seen["messages"][1]["content"]
    assert f"- {LARGE} (2 USD" in seen["messages"][1]["content"]
    assert judge.keys == ["Bearer sesame"]


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("hang", "no answer in 0.3 seconds"),
        ("down", "503"),
        ("garbage", "JSON"),
        ("gpt-5", "named no model"),
        (f"either small or {LARGE}", "named no model"),
        (None, "named no model"),
    ],
)
async def test_whatever_goes_wrong_the_fallback_decides(
    start: Any, judge: Judge, says: Any, error: str
) -> None:
    judge.says = says
    client = await start(judged(judge))
    decision = await why(client)
    assert decision["model"] == "small"
    assert decision["advice"]["model"] is None
    assert error in decision["advice"]["error"]


async def test_it_chooses_among_the_eligible_only(start: Any, judge: Judge) -> None:
    client = await start(judged(judge))
    decision = await why(client, needs=["tools"])
    assert decision["model"] == LARGE
    assert "- small" not in judge.seen[0]["messages"][1]["content"]
    judge.says = "small"
    assert (await why(client, models=[LARGE]))["model"] == LARGE
    response = await client.post("/route", json={"embedding": [0.1] * 48})
    answer = await response.json()
    decision = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert "no text" in decision["advice"]["error"]


async def test_as_a_shadow_it_is_asked_too_and_its_cost_is_booked(start: Any, judge: Judge) -> None:
    settings = judged(judge, strategy="fixed:small", shadows=["llm-judge"])
    client = await start(settings)
    decision = await why(client)
    assert decision["model"] == "small"
    (shadow,) = decision["shadows"]
    assert (shadow["strategy"], shadow["model"]) == ("llm-judge", LARGE)
    await client.put("/kill-switch", json={"model": "small"})
    await why(client)
    assert len(judge.seen) == 1  # killed: nobody is asked


async def test_a_budget_counts_what_the_judge_costs(start: Any, judge: Judge) -> None:
    import msgspec

    settings = judged(judge)
    budget = msgspec.structs.replace(settings.settings.budget, usd_per_request=0.01)
    settings = msgspec.structs.replace(
        settings, settings=msgspec.structs.replace(settings.settings, budget=budget)
    )
    client = await start(settings)
    decision = await why(client)
    expected = decision["expected"]["cost_usd"] or 0.0
    pacer = client.app[ENGINE].router.pacer
    assert pacer.balance_usd == pytest.approx(0.985 * 0.01 - expected - 0.0011)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"base_url": None}, "base_url"), ({"model": None}, "model"), ({}, "api_key_env")],
)
async def test_a_judge_that_cannot_be_asked_is_refused_at_the_start(
    db: Any, embedder: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], field: str
) -> None:
    monkeypatch.delenv("JUDGE_KEY")
    table = {"base_url": "http://127.0.0.1:9", "model": "j", "api_key_env": "JUDGE_KEY", **change}
    table = {key: value for key, value in table.items() if value is not None}
    bad = config(profiles=[{"name": "p", "strategy": "llm-judge"}], llm_judge=table)
    app = create_app(bad, db=db, embedder=embedder)
    runner = web.AppRunner(app)
    with pytest.raises(ConfigError, match=rf"llm_judge\.{field}") as refused:
        await runner.setup()
    await runner.cleanup()
    assert refused.value.field == f"llm_judge.{field}"
