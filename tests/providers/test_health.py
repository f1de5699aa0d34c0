"""Which endpoint is asked first, and which is left alone."""

from __future__ import annotations

from collections import Counter

from bandit_router.providers.errors import UpstreamError
from bandit_router.providers.health import OPEN_AFTER, Infirmary
from bandit_router.types import Endpoint, Model

A, B = (Endpoint(base_url=f"http://{name}/v1") for name in "ab")
DOWN = UpstreamError("down", "server")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ward(*endpoints: Endpoint, **model: float) -> tuple[Infirmary, Model, Clock]:
    clock = Clock()
    return Infirmary(0, clock), Model(name="m", endpoints=endpoints, **model), clock  # type: ignore[arg-type]


def first(infirmary: Infirmary, model: Model, draws: int = 400) -> Counter[Endpoint]:
    ends = list(model.endpoints)
    orders = [infirmary.ordered(model, ends, stream=False) for _ in range(draws)]
    assert all(sorted(map(id, order)) == sorted(map(id, ends)) for order in orders)
    return Counter(order[0] for order in orders)


def test_equals_share() -> None:
    infirmary, model, _ = ward(A, B)
    assert all(120 < n < 280 for n in first(infirmary, model).values())


def test_the_cheaper_the_quicker_and_the_healthier_comes_first() -> None:
    cheap = Endpoint(base_url="http://c/v1", input_usd_per_m=0.5, output_usd_per_m=0.5)
    infirmary, model, _ = ward(A, cheap, input_usd_per_m=1.0, output_usd_per_m=1.0)
    assert first(infirmary, model)[cheap] > 390

    infirmary, model, clock = ward(A, B)
    for _ in range(20):
        infirmary.of(model, A).answered(4.0, stream=False, now=clock())
        infirmary.of(model, B).answered(1.0, stream=False, now=clock())
    assert first(infirmary, model)[B] > 390

    infirmary, model, clock = ward(A, B)
    for _ in range(30):
        infirmary.of(model, A).failed(DOWN, clock())
        infirmary.of(model, A).answered(1.0, stream=False, now=clock())
        infirmary.of(model, B).answered(1.0, stream=False, now=clock())
    assert first(infirmary, model)[B] > 380
    clock.now += 3600.0  # what was is forgotten
    assert 100 < first(infirmary, model)[B] < 300


def test_a_conversation_stays_where_its_beginning_is_cached() -> None:
    infirmary, model, clock = ward(A, B)

    def where() -> set[Endpoint]:
        asked = [infirmary.ordered(model, [A, B], stream=True, session="s")[0] for _ in range(50)]
        return set(asked)

    infirmary.settle(model, B, "s")
    assert where() == {B}
    assert len(first(infirmary, model)) == 2  # others are drawn as ever
    infirmary.of(model, B).closed_at = clock.now + 1.0
    assert where() == {A}
    clock.now += 301.0
    assert where() == {A, B}


def test_a_circuit_opens_is_probed_by_one_and_closes() -> None:
    infirmary, model, clock = ward(A, B)
    health = infirmary.of(model, A)
    for _ in range(OPEN_AFTER):
        assert health.state(clock()) == "closed"
        health.failed(DOWN, clock())
    assert health.state(clock()) == "open"
    assert infirmary.ordered(model, [A, B], stream=False) == [B]
    assert infirmary.ready(model)
    clock.now += 16.0
    assert health.state(clock()) == "half-open"
    health.probing = True
    assert infirmary.ordered(model, [A], stream=False) == []
    health.failed(DOWN, clock())
    clock.now += 16.0
    assert health.state(clock()) == "open"  # for longer than the first time
    clock.now += 16.0
    health.answered(1.0, stream=False, now=clock())
    assert health.state(clock()) == "closed"


def test_a_rate_limit_is_waited_for_and_is_no_illness() -> None:
    infirmary, model, clock = ward(A)
    health = infirmary.of(model, A)
    health.failed(UpstreamError("slow", "rate_limited", retry_after=30.0), clock())
    assert not infirmary.ready(model)
    clock.now += 31.0
    assert health.state(clock()) == "closed"


def test_what_is_the_clients_fault_harms_no_endpoint() -> None:
    infirmary, model, clock = ward(A)
    for _ in range(10):
        infirmary.of(model, A).failed(UpstreamError("no", "refused"), clock())
    assert infirmary.ready(model)
    assert infirmary.of(model, A).counts["refused"] == 10
