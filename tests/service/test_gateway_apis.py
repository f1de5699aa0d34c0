"""Every API of the gateway over every kind of endpoint, with the real SDKs as clients."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import anthropic
import openai
import pytest

from bandit_router.config import parse_config
from bandit_router.service import create_app
from bandit_router.service.gateway import ANSWERED, Answered
from bandit_router.service.keys import ENGINE
from bandit_router.service.serving import serve

from .upstreams import AnthropicProvider, OpenAIProvider, Provider

TALK: list[Any] = [{"role": "user", "content": "hello, world"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
PIXEL = base64.b64encode(b"not really a picture").decode()
KINDS = ["openai", "anthropic"]
SAYS = {"openai": "Grüezi, Welt", "anthropic": "Guten Tag, Welt"}
COST = (40 * 1.0 + 60 * 0.1 + 20 * 2.0) / 1e6


class World:
    """A gateway before an endpoint of one kind, and clients of both makers."""

    def __init__(self, service: Any, provider: Provider) -> None:
        self.service = service
        self.provider = provider
        self.told: list[Answered] = []
        self.base = str(service.make_url("/v1"))
        root = str(service.make_url(""))
        keys: dict[str, Any] = {"api_key": "none", "max_retries": 0}
        self.openai = openai.AsyncOpenAI(base_url=self.base, **keys)
        self.anthropic = anthropic.AsyncAnthropic(base_url=root, **keys)
        self.sync_openai = openai.OpenAI(base_url=self.base, **keys)
        self.sync_anthropic = anthropic.Anthropic(base_url=root, **keys)

    async def listen(self, answered: Answered) -> None:
        self.told.append(answered)

    async def last(self) -> Answered:
        """The last answer that was announced, and only it."""
        for _ in range(200):
            if self.told:
                break
            await asyncio.sleep(0.005)
        (told,) = self.told
        return told


@pytest.fixture(params=KINDS)
async def kind(request: Any) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def world(start: Any, kind: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider: Provider = OpenAIProvider() if kind == "openai" else AnthropicProvider()
        paths = {"openai": ["/chat/completions", "/embeddings"], "anthropic": ["/messages"]}
        await stack.enter_async_context(provider.served(*paths[kind]))
        endpoint = {"base_url": provider.url, "kind": kind, "model": "theirs"}
        model = {"name": "m", "input_usd_per_m": 1, "output_usd_per_m": 2, "endpoints": [endpoint]}
        profile = {"name": "careful", "cost_weight": 0.5}
        service = await start(parse_config({"models": [model], "profiles": [profile]}))
        world = World(service, provider)
        service.app[ANSWERED].append(world.listen)
        yield world
        for client in (world.openai, world.anthropic):
            await client.close()
        for sync in (world.sync_openai, world.sync_anthropic):
            sync.close()


# -- chat completions ----------------------------------------------------------------------


async def test_chat(world: World, kind: str) -> None:
    raw = await world.openai.chat.completions.with_raw_response.create(model="auto", messages=TALK)
    answer = raw.parse()
    assert answer.choices[0].message.content == SAYS[kind]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (100, 20)
    assert raw.headers["x-bandit-router-usage"] == "reported"
    assert float(raw.headers["x-bandit-router-cost-usd"]) == pytest.approx(COST)
    told = await world.last()
    assert (told.answer.text, told.outcome.cached_tokens) == (SAYS[kind], 60)
    assert told.outcome.cost_usd == pytest.approx(COST)
    assert told.decision is not None
    assert told.decision.decision_id == raw.headers["x-bandit-router-decision-id"]


async def test_chat_stream(world: World, kind: str) -> None:
    stream = await world.openai.chat.completions.create(model="auto", messages=TALK, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == SAYS[kind]
    assert all(chunk.choices for chunk in chunks)  # usage was not asked for
    told = await world.last()
    assert told.answer.text == SAYS[kind]
    assert told.outcome.cost_usd == pytest.approx(COST)  # and is known all the same


async def test_chat_stream_with_usage(world: World) -> None:
    stream = await world.openai.chat.completions.create(
        model="auto", messages=TALK, stream=True, stream_options={"include_usage": True}
    )
    *_, last = [chunk async for chunk in stream]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.prompt_tokens_details is not None
    assert last.usage.prompt_tokens_details.cached_tokens == 60


async def test_chat_with_tools_a_schema_and_a_picture(world: World, kind: str) -> None:
    world.provider.calls_tool = True
    url = f"data:image/png;base64,{PIXEL}"
    talk: list[Any] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{"}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "tool", "tool_call_id": "b", "content": "sun"},
    ]  # fmt: skip
    tools: list[Any] = [
        {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
    ]
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS}}
    for stream in (False, True):
        options = {"tools": tools, "tool_choice": "required", "response_format": wanted}
        answer: Any = await world.openai.chat.completions.create(
            model="auto", messages=talk, stream=stream, temperature=2, stop="END", **options
        )
        if stream:
            deltas = [c.choices[0] async for c in answer]
            calls = [call for d in deltas for call in d.delta.tool_calls or ()]
            assert calls[0].function.name == "weather"
            given = "".join(call.function.arguments or "" for call in calls)
            assert deltas[-1].finish_reason == "tool_calls"
        else:
            (call,) = answer.choices[0].message.tool_calls
            given = call.function.arguments
            assert answer.choices[0].finish_reason == "tool_calls"
        assert given == '{"city": "Bern"}'
    assert [t.answer.tool_calls[0]["arguments"] for t in world.told] == ['{"city": "Bern"}'] * 2
    seen = world.provider.seen[0]
    if kind == "openai":
        expected = {"model": "theirs", "messages": talk, "stream": False, "temperature": 2}
        assert seen == {**expected, "stop": "END", **options}
        return
    assert seen["system"] == "be brief"
    assert [turn["role"] for turn in seen["messages"]] == ["user", "assistant", "user"]
    picture = seen["messages"][0]["content"][1]["source"]
    assert picture == {"type": "base64", "media_type": "image/png", "data": PIXEL}
    assert [b["input"] for b in seen["messages"][1]["content"]] == [{}, {"arguments": "{"}]
    results = seen["messages"][2]["content"]
    assert [(b["tool_use_id"], b["content"]) for b in results] == [("a", "rain"), ("b", "sun")]
    assert seen["tools"] == [{"name": "weather", "input_schema": PARAMETERS}]
    assert seen["tool_choice"] == {"type": "any"}
    assert seen["output_config"]["format"] == {"type": "json_schema", "schema": PARAMETERS}
    assert (seen["temperature"], seen["stop_sequences"]) == (1.0, ["END"])
    assert seen["max_tokens"] > 0
    assert world.provider.headers[0]["anthropic-version"]


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
async def test_several_choices(world: World) -> None:
    answer = await world.openai.chat.completions.create(model="auto", messages=TALK, n=3)
    assert len(answer.choices) == 3


@pytest.mark.parametrize("kind", ["anthropic"], indirect=True)
async def test_several_choices_are_refused_where_nobody_can(world: World) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await world.openai.chat.completions.create(model="auto", messages=TALK, n=3)
    assert caught.value.param == "n"


@pytest.mark.parametrize("kind", ["anthropic"], indirect=True)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logprobs", True),
        ("logit_bias", {"50256": -100}),
        ("functions", [{"name": "f", "parameters": {}}]),
        ("tools", [{"type": "custom", "custom": {"name": "c"}}]),
    ],
)
async def test_what_anthropic_has_no_word_for_is_not_left_out(
    world: World, field: str, value: Any
) -> None:
    body = {"model": "auto", "messages": TALK, field: value}
    answer = await world.service.post("/v1/chat/completions", json=body)
    assert (answer.status, (await answer.json())["error"]["param"]) == (422, field)
    assert not world.provider.seen


async def test_a_picture_alone_is_routed(world: World) -> None:
    url = f"data:image/png;base64,{PIXEL}"
    talk: list[Any] = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    ]
    raw = await world.openai.chat.completions.with_raw_response.create(model="auto", messages=talk)
    assert raw.headers["x-bandit-router-decision-id"]
    assert PIXEL in json.dumps(world.provider.seen)


async def test_the_sync_clients(world: World, kind: str) -> None:
    def talk() -> list[str]:
        chat = world.sync_openai.chat.completions
        whole = chat.create(model="auto", messages=TALK).choices[0].message.content or ""
        stream = chat.create(model="careful", messages=TALK, stream=True)
        pieces = "".join(c.choices[0].delta.content or "" for c in stream)
        said = world.sync_anthropic.messages.create(model="auto", messages=TALK, max_tokens=9)
        with world.sync_anthropic.messages.stream(
            model="m", messages=TALK, max_tokens=9
        ) as stream_:
            texts = "".join(stream_.text_stream)
        response = world.sync_openai.responses.create(model="auto", input="hello, world")
        events = world.sync_openai.responses.create(model="auto", input="hello", stream=True)
        deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
        return [whole, pieces, said.content[0].text, texts, response.output_text, "".join(deltas)]  # type: ignore[union-attr]

    assert await asyncio.to_thread(talk) == [SAYS[kind]] * 6
    assert [told.decision is None for told in world.told] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]
    profile = world.told[1].decision
    assert profile is not None
    assert profile.utility.cost_weight == 0.5


# -- Anthropic's Messages ------------------------------------------------------------------


async def test_messages(world: World, kind: str) -> None:
    raw = await world.anthropic.messages.with_raw_response.create(
        model="auto", messages=TALK, max_tokens=50, system="be brief"
    )
    answer = await raw.parse()
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == SAYS[kind]  # type: ignore[union-attr]
    assert (answer.stop_reason, answer.usage.input_tokens) == ("end_turn", 40)
    assert answer.usage.cache_read_input_tokens == 60
    assert raw.headers["x-bandit-router-model"] == "m"
    told = await world.last()
    assert told.outcome.cost_usd == pytest.approx(COST)
    assert told.call.chat()["messages"][0] == {"role": "system", "content": "be brief"}


async def test_messages_stream_with_a_tool(world: World, kind: str) -> None:
    world.provider.calls_tool = True
    tools: list[Any] = [{"name": "weather", "input_schema": PARAMETERS}]
    talk: list[Any] = [
        *TALK,
        {"role": "assistant", "content": [
            {"type": "text", "text": "let me see"},
            {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Genf"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}]},
            {"type": "image", "source": {
                "type": "base64", "media_type": "image/png", "data": PIXEL}},
            {"type": "text", "text": "and in Bern?"},
        ]},
    ]  # fmt: skip
    async with world.anthropic.messages.stream(
        model="auto", messages=talk, max_tokens=50, tools=tools, tool_choice={"type": "any"}
    ) as stream:
        answer = await stream.get_final_message()
    (block,) = answer.content
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("weather", {"city": "Bern"})
    assert (answer.stop_reason, answer.usage.output_tokens) == ("tool_use", 20)
    told = await world.last()
    (call,) = told.answer.tool_calls
    assert (call["name"], call["arguments"]) == ("weather", '{"city": "Bern"}')
    seen = world.provider.seen[0]
    if kind == "anthropic":
        assert seen["messages"] == talk
        return
    roles = [message["role"] for message in seen["messages"]]
    assert roles == ["user", "assistant", "tool", "user"]
    call = seen["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Genf"}'}
    picture, text = seen["messages"][3]["content"]
    assert picture["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert text["text"] == "and in Bern?"
    assert seen["tool_choice"] == "required"
    assert seen["tools"][0]["function"] == {"name": "weather", "parameters": PARAMETERS}


async def test_errors_in_anthropics_words(world: World) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        await world.anthropic.messages.create(model="nobody", messages=TALK, max_tokens=5)
    assert caught.value.status_code == 422
    assert caught.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    answer = await world.service.post("/v1/messages", json={"model": "m", "messages": []})
    assert (answer.status, (await answer.json())["type"]) == (422, "error")
    result = [{"role": "user", "content": [{"type": "tool_result", "content": "rain"}]}]
    body = {"model": "auto", "messages": result, "max_tokens": 5}
    answer = await world.service.post("/v1/messages", json=body)
    assert (answer.status, (await answer.json())["error"]["field"]) == (422, "tool_use_id")


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
async def test_what_is_of_another_form_is_named(world: World) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": True}
    message = {"type": "message", "role": None, "content": "hello"}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("messages", {"messages": TALK, "tool_choice": 7}, "tool_choice"),
        ("messages", {"messages": TALK, "tool_choice": {"type": []}}, "tool_choice"),
        ("messages", {"messages": TALK, "output_config": {"format": True}}, "output_config"),
        ("messages", {"messages": [{"role": "user", "content": [result]}]}, "messages"),
        ("responses", {"input": [message]}, "input"),
        ("responses", {"input": [{**message, "role": "user", "content": [1]}]}, "input"),
    ]
    for path, fields, name in cases:
        body = {"model": "auto", "max_tokens": 5, **fields}
        answer = await world.service.post(f"/v1/{path}", json=body)
        error = (await answer.json())["error"]
        assert (answer.status, error.get("field") or error["param"]) == (422, name), error
    assert not world.provider.seen


async def test_the_list_of_models_for_both_and_counting(world: World) -> None:
    assert [m.id async for m in world.openai.models.list()] == ["auto", "careful", "m"]
    assert [m.id async for m in world.anthropic.models.list()] == ["auto", "careful", "m"]
    assert (await world.openai.models.retrieve("m")).id == "m"
    with pytest.raises(openai.NotFoundError):
        await world.openai.models.retrieve("nobody")
    counted = await world.anthropic.messages.count_tokens(model="auto", messages=TALK)
    assert 2 <= counted.input_tokens <= 20


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
async def test_what_runs_at_anthropic_alone_is_not_sent_elsewhere(world: World) -> None:
    tools: list[Any] = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(anthropic.APIStatusError, match="anthropic"):
        await world.anthropic.messages.create(
            model="auto", messages=TALK, max_tokens=5, tools=tools
        )
    assert not world.provider.seen


# -- OpenAI's Responses --------------------------------------------------------------------


async def test_responses(world: World, kind: str) -> None:
    given: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "rain"},
    ]
    tools: list[Any] = [{"type": "function", "name": "weather", "parameters": PARAMETERS,
                         "strict": True}]  # fmt: skip
    answer = await world.openai.responses.create(
        model="auto", input=given, instructions="be brief", tools=tools, max_output_tokens=50
    )
    assert (answer.output_text, answer.status) == (SAYS[kind], "completed")
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens == 60
    seen = world.provider.seen[-1]
    if kind == "openai":
        roles = [message["role"] for message in seen["messages"]]
        assert roles == ["system", "user", "assistant", "tool"]
        assert seen["max_tokens"] == 50
    told = await world.last()
    assert told.outcome.cost_usd == pytest.approx(COST)


async def test_responses_stream(world: World, kind: str) -> None:
    for tool in (False, True):
        world.provider.calls_tool = tool
        async with world.openai.responses.stream(model="auto", input="hello") as stream:
            kinds = [event.type async for event in stream]
            answer = await stream.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        if tool:
            (item,) = answer.output
            assert item.type == "function_call"
            assert (item.name, item.arguments) == ("weather", '{"city": "Bern"}')
        else:
            assert answer.output_text == SAYS[kind]
            assert kinds.count("response.output_text.delta") == 2
        assert answer.usage is not None
        assert answer.usage.output_tokens == 20


async def test_what_an_endpoint_has_itself_is_passed_through(start: Any) -> None:
    provider = OpenAIProvider()
    async with provider.served("/chat/completions", "/responses"):
        model = {"name": "m", "endpoints": [{"base_url": provider.url}]}
        service = await start(parse_config({"models": [model]}))
        world = World(service, provider)
        service.app[ANSWERED].append(world.listen)
        raw = {"model": "auto", "input": "hello", "stream": True}
        answer = await service.post("/v1/responses", json=raw)
        assert await answer.text() == "".join(provider.events("/v1/responses", {"model": "m"}))
        assert (await world.last()).answer.text == "native"
        whole = await world.openai.responses.create(
            model="m", input="more", previous_response_id="resp_1", tools=[{"type": "web_search"}]
        )
        assert whole.output_text == "native"
        assert provider.seen[-1]["previous_response_id"] == "resp_1"
        with pytest.raises(openai.UnprocessableEntityError, match="name that model"):
            await world.openai.responses.create(
                model="auto", input="more", previous_response_id="resp_1"
            )
        await world.openai.close()


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
async def test_an_endpoint_without_responses_is_asked_for_them_once(world: World) -> None:
    for _ in range(4):  # what it cannot do makes it no worse for others
        with pytest.raises(openai.UnprocessableEntityError, match=r"background: .* not there"):
            await world.openai.responses.create(model="auto", input="hello", background=True)
    for _ in range(3):
        await world.openai.responses.create(model="auto", input="hello")
    assert world.provider.paths == ["/v1/chat/completions"] * 3
    state = world.service.app[ENGINE].router.models["m"].endpoints[0]
    assert state.responses is None
    with pytest.raises(openai.UnprocessableEntityError, match=r"background: .* no /responses"):
        await world.openai.responses.create(model="auto", input="hello", background=True)


# -- embeddings, and streams that are left --------------------------------------------------


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
async def test_embeddings(world: World) -> None:
    raw = await world.openai.embeddings.with_raw_response.create(
        model="m", input="hello", encoding_format="float"
    )
    assert raw.parse().data[0].embedding == [0.5, 0.25]
    assert raw.headers["x-bandit-router-cost-usd"] == "8e-06"
    with pytest.raises(openai.UnprocessableEntityError, match="not routed"):
        await world.openai.embeddings.create(model="auto", input="hello")
    await world.openai.chat.completions.create(model="m", messages=TALK)
    assert (await world.last()).call.form == "chat"  # only an answer is one that can be judged


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_call(world: World, stream: bool) -> None:
    world.provider.gate.clear()
    body = {"model": "auto", "messages": TALK, "stream": stream}
    if stream:
        answer = await world.service.post("/v1/chat/completions", json=body)
        assert b"data:" in await answer.content.readany()
        answer.close()
    else:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.service.post("/v1/chat/completions", json=body), 0.5)
    await asyncio.wait_for(world.provider.left.wait(), 5)
    router = world.service.app[ENGINE].router
    for _ in range(200):
        events = list(world.service.app[ENGINE].store.events(kind="outcome"))
        if events:
            break
        await asyncio.sleep(0.01)
    assert events[0].error == "the client left"
    assert not router.history(events[0].decision_id).feedback
    assert not world.told


async def test_a_client_that_leaves_the_real_server(db: Any, embedder: Any) -> None:
    """As above, but by `run`'s own server: the test server cancels handlers in any case."""
    provider = OpenAIProvider()
    async with provider.served("/chat/completions"):
        provider.gate.clear()
        model = {"name": "m", "endpoints": [{"base_url": provider.url}]}
        app = create_app(parse_config({"models": [model]}), db=db, embedder=embedder)
        said: asyncio.Queue[str] = asyncio.Queue()
        server = asyncio.create_task(serve(app, "127.0.0.1", 0, 1.0, said.put_nowait))
        port = int((await asyncio.wait_for(said.get(), 30)).rsplit(":", 1)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"model": "auto", "messages": TALK})
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
        writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        while not provider.seen:
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(provider.left.wait(), 5)
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


async def test_a_listener_that_fails_harms_nobody(world: World, kind: str, caplog: Any) -> None:
    async def fails(answered: Answered) -> None:
        raise RuntimeError("oh")

    world.service.app[ANSWERED].insert(0, fails)
    answer = await world.openai.chat.completions.create(model="auto", messages=TALK)
    assert answer.choices[0].message.content == SAYS[kind]
    assert (await world.last()).answer.text == SAYS[kind]
    assert "a listener failed" in caplog.text


async def test_the_demo_speaks_every_api(start: Any) -> None:
    service = await start(parse_config({}), demo=True)
    world = World(service, OpenAIProvider())
    answer = await world.anthropic.messages.create(model="auto", messages=TALK, max_tokens=9)
    assert "demo fleet" in answer.content[0].text  # type: ignore[union-attr]
    async with world.openai.responses.stream(model="auto", input="hello") as stream:
        assert "demo fleet" in (await stream.get_final_response()).output_text
    await world.openai.close()
    await world.anthropic.close()
