"""Processors that a process may use."""

from pathlib import Path

import pytest

from bandit_router.cores import cores


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("50000 100000\n", 1), ("150000 100000\n", 2), ("99900000 100000\n", 64)],
)
def test_a_container_has_no_more_than_it_is_given(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert cores(tmp_path / "cpu.max") == expected


@pytest.mark.parametrize("quota", ["max 100000\n", "", "1 0\n", "a b\n", None])
def test_without_a_limit_it_has_those_it_may_run_on(
    quota: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert cores(tmp_path / "cpu.max") == 3


def test_where_nobody_tells_it_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert cores(tmp_path / "cpu.max") == 7
