"""A change is told soon after it happens, and hardly ever without one."""

from __future__ import annotations

import numpy as np

from bandit_router import codec
from bandit_router.bandits.change import ChangeDetector, PriceWatch
from bandit_router.page_hinkley import PageHinkley, numbers


def rewards(mean: float, n: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < mean).astype(float)


def test_a_loss_of_a_third_is_told_within_180_observations() -> None:
    for seed in range(20):
        detector = ChangeDetector()
        assert all(detector.update(r - 0.62) is None for r in rewards(0.62, 2000, seed))
        told = [detector.update(r - 0.62) for r in rewards(0.31, 180, seed + 100)]
        found = [by for by in told if by is not None]
        assert found
        assert -0.5 < found[0] < -0.1


def test_false_alarms_are_rare() -> None:
    alarms = 0
    for seed in range(10):
        detector = ChangeDetector()
        alarms += sum(detector.update(r - 0.5) is not None for r in rewards(0.5, 5000, seed))
    assert alarms <= 1


def test_the_state_is_the_detector() -> None:
    one, other = ChangeDetector(), ChangeDetector()
    for r in rewards(0.6, 300, 0):
        one.update(r - 0.6)
    other.load(codec.decode_state(codec.encode_state(one.state())))
    later = rewards(0.2, 200, 1)
    assert [one.update(r - 0.6) for r in later] == [other.update(r - 0.6) for r in later]


def test_a_tenfold_bill_is_told_within_a_dozen() -> None:
    watch = PriceWatch()
    bills = np.random.default_rng(0).lognormal(-0.2, 0.6, 2000)
    assert all(watch.update(bill, 1.0) is None for bill in bills)
    assert any(watch.update(10 * bill, 1.0) for bill in bills[:12])
    cheaper = PriceWatch()
    assert any(cheaper.update(0.1 * bill, 1.0) for bill in bills[:60])


def test_the_test_is_rivers_bit_for_bit() -> None:
    rivers = PageHinkley.__base__
    told = 0
    for seed in range(20):
        ours = PageHinkley(min_instances=30, delta=0.1, threshold=5.0)
        theirs = rivers(min_instances=30, delta=0.1, threshold=5.0, alpha=1.0, mode="both")
        rng = np.random.default_rng(seed)
        for x in rng.normal(np.repeat([0.0, 0.6, -0.4], 200)).tolist():
            theirs.update(x)
            assert ours.update(x) == ours.drift_detected == theirs.drift_detected
            assert numbers(ours) == numbers(theirs)
            told += ours.drift_detected
    assert told > 20
