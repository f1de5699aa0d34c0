"""Processors that a process may use."""

from pathlib import Path

import pytest

from bandit_router.cores import cores

GROUPS = "sys/fs/cgroup"
V1 = f"{GROUPS}/cpu/cpu.cfs_quota_us", f"{GROUPS}/cpu/cpu.cfs_period_us"


def system(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{GROUPS}/cpu.max": "50000 100000\n"}, 1),
        ({f"{GROUPS}/cpu.max": "150000 100000\n"}, 2),
        ({f"{GROUPS}/cpu.max": "99900000 100000\n"}, 64),
        ({V1[0]: "250000\n", V1[1]: "100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", f"{GROUPS}/cpu.max": "200000 100000\n"}, 2),
        (  # a unit of systemd
            {
                "proc/self/cgroup": "0::/system.slice/router.service\n",
                f"{GROUPS}/system.slice/router.service/cpu.max": "300000 100000\n",
                f"{GROUPS}/cpu.max": "max 100000\n",
            },
            3,
        ),
        (  # a container that sees its host's name for its group
            {"proc/self/cgroup": "0::/docker/1\n", f"{GROUPS}/cpu.max": "400000 100000\n"},
            4,
        ),
    ],
)
def test_a_container_has_no_more_than_it_is_given(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cores(system(tmp_path, files)) == expected


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"{GROUPS}/cpu.max": "max 100000\n"},
        {f"{GROUPS}/cpu.max": ""},
        {f"{GROUPS}/cpu.max": "1 0\n"},
        {f"{GROUPS}/cpu.max": "a b\n"},
        {V1[0]: "-1\n", V1[1]: "100000\n"},
        {V1[0]: "100000\n"},
        {"proc/self/cgroup": "4:cpu:/docker/1\n"},
    ],
)
def test_without_a_limit_it_has_those_it_may_run_on(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert cores(system(tmp_path, files)) == 3


def test_where_nobody_tells_it_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert cores(tmp_path) == 7
