"""What an answer used and what it costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.config import parse_config
from bandit_router.providers.prices import list_prices, with_list_prices
from bandit_router.providers.usage import Usage, estimate
from bandit_router.types import Endpoint, Model

ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)
MODEL = Model(name="m", input_usd_per_m=1.0, output_usd_per_m=4.0)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": 10, "total_tokens": 10}, Usage(10, 0)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(10, 5, cached_tokens=10, reasoning_tokens=3),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None},
            Usage(10, 5),
        ),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 10**12}, None),
        ("many", None),
        (None, None),
    ],
)
def test_what_is_stated(stated: object, expected: Usage | None) -> None:
    assert Usage.stated(stated) == expected


def test_prices() -> None:
    used = Usage(1000, 500, cached_tokens=400, cache_write_tokens=200)
    assert used.cost(MODEL) == pytest.approx((400 + 40 + 250 + 2000) / 1e6)
    here = Endpoint(base_url="http://x", output_usd_per_m=2.0, cached_input_usd_per_m=0.5)
    assert used.cost(MODEL, here) == pytest.approx((400 + 200 + 250 + 1000) / 1e6)
    assert used.cost(Model(name="m")) is None
    assert used.cost(Model(name="m", input_usd_per_m=0.0, output_usd_per_m=0.0)) == 0.0


def test_estimates_count_texts_of_any_language_and_no_pictures() -> None:
    def tokens(text: str) -> int:
        return estimate({"messages": [{"role": "user", "content": text}]}, 0).prompt_tokens

    assert 10 <= tokens("how do I reverse a list in Python?") <= 16
    assert 10 <= tokens("如何在Python中反转一个列表") <= 20
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    used = estimate({"messages": [{"role": "user", "content": [picture]}]}, 40)
    assert used.prompt_tokens < 1100
    assert used.completion_tokens == 10
    assert used.estimated


@given(ANYTHING)
def test_an_estimate_of_anything(body: object) -> None:
    assert estimate({"messages": body, "input": body}, 0).prompt_tokens >= 0


def test_list_prices_are_a_convenience() -> None:
    names = [
        {"name": "gpt-4o-mini"},
        {"name": "mine", "input_usd_per_m": 3.0},
        {"name": "nobody's"},
    ]
    endpoint = {"base_url": "https://api.anthropic.com", "model": "anthropic/claude-haiku-4-5"}
    models = [*names, {"name": "small", "endpoints": [endpoint]}]
    models.append({"name": "gpt-4o", "input_usd_per_m": 0.0, "output_usd_per_m": 0.0})
    found = with_list_prices(parse_config({"models": models})).models
    prices = [(m.input_usd_per_m, m.output_usd_per_m, m.cached_input_usd_per_m) for m in found]
    mini = list_prices()["gpt-4o-mini"]
    assert prices == [mini, (3.0, None, None), (None,) * 3, (1.0, 5.0, 0.1), (0.0, 0.0, None)]
    for name, listed in list_prices().items():
        assert 2 <= len(listed) <= 3, name
        assert all(isinstance(price, float) for price in listed)  # as the log gives them back
        assert all(0 <= price < 1000 for price in listed), name
