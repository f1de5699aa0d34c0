"""Code kept on disk saves time, and nothing else depends on it."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import ModuleType

import numba
import numpy as np
import pytest
from numba.core import caching
from numba.core.bytecode import FunctionIdentity
from numba.core.event import install_listener

import bandit_router
from bandit_router.bandits.arms import ARM_ROWS
from bandit_router.bandits.belief import SAMPLING, _charge
from bandit_router.bandits.learning import noises
from bandit_router.compiled import _Places, _say, compiled, made_of, reordered
from bandit_router.precompile import Stopped, _Compiling

Said = Callable[[], list[str]]

CALLED = """
from bandit_router.compiled import compiled
STEP = {step}
@compiled
def grown(x):
    return x {sign} 1
"""
CALLING = """
from bandit_router.compiled import compiled
from called import STEP, grown
@compiled
def both(x):
    return 10 * grown(x) + STEP
"""


@pytest.fixture
def imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ModuleType]]:
    """Write both modules, and import the second as a new process would."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)

    def fresh(step: int = 1, sign: str = "+") -> ModuleType:
        (tmp_path / "called.py").write_text(CALLED.format(step=step, sign=sign))
        (tmp_path / "calling.py").write_text(CALLING)
        return again()

    def again() -> ModuleType:
        for name in ("called", "calling"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("calling")

    yield fresh
    for name in ("called", "calling"):
        sys.modules.pop(name, None)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    """What has been said since, as in a new process."""
    _say.cache_clear()
    yield lambda: caplog.messages
    _say.cache_clear()


def kept(folder: Path, ending: str) -> list[Path]:
    return sorted((folder / "__pycache__").glob(f"calling.both-*.{ending}"))


def test_what_was_compiled_is_found_again(
    imported: Callable[..., ModuleType], tmp_path: Path
) -> None:
    assert imported().both(2) == 31
    (before,) = kept(tmp_path, "nbc")
    module = imported()
    assert module.both(2) == 31
    assert sum(module.both.stats.cache_hits.values()) == 1
    assert kept(tmp_path, "nbc") == [before]


def test_a_change_in_another_file_is_compiled(imported: Callable[..., ModuleType]) -> None:
    assert imported().both(2) == 31
    assert imported(sign="-").both(2) == 11
    assert imported(sign="-", step=5).both(2) == 15


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 20])
def test_a_file_that_was_cut_short_is_written_again(
    imported: Callable[..., ModuleType], tmp_path: Path, ending: str, left: int
) -> None:
    assert imported().both(2) == 31
    for path in kept(tmp_path, ending):
        path.write_bytes(path.read_bytes()[:left])
    assert imported().both(2) == 31
    module = imported()
    assert module.both(2) == 31
    assert sum(module.both.stats.cache_hits.values()) == 1


def test_code_for_other_types_is_never_called(
    imported: Callable[..., ModuleType], tmp_path: Path
) -> None:
    module = imported()
    assert (module.both(2), module.both(2.5)) == (31, 36.0)
    one, other = kept(tmp_path, "nbc")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    module = imported()
    assert (module.both(2), module.both(2.5)) == (31, 36.0)
    assert isinstance(module.both(2), int)


def test_a_disk_that_is_full_stops_nothing(
    imported: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_open_for_write", full)
    assert imported().both(2) == 31
    about_to, why = said()
    assert "compiling" in about_to
    assert "cannot be kept (No space left on device)" in why
    assert "NUMBA_CACHE_DIR" in why


def test_who_compiles_says_so_once(imported: Callable[..., ModuleType], said: Said) -> None:
    module = imported()
    assert (module.both(2), module.both(2.5)) == (31, 36.0)
    assert len(said()) == 1
    assert "kept for the next start" in said()[0]
    _say.cache_clear()
    imported().both(2)
    assert len(said()) == 1


def test_what_can_only_be_read_is_read(
    imported: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    assert imported().both(2) == 31

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", read_only)
    _say.cache_clear()
    module = imported()
    assert module.both(2) == 31
    assert sum(module.both.stats.cache_hits.values()) == 1
    assert len(said()) == 1


def test_without_a_directory_to_write_to_every_process_compiles(
    monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    monkeypatch.setattr(_Places, "__init__", _nowhere)
    twice, thrice = compiled(_twice), compiled(_thrice)
    assert (twice(2.0), thrice(2.0)) == (4.0, 6.0)
    assert len(said()) == 1
    assert "NUMBA_CACHE_DIR" in said()[0]


def _nowhere(*_: object) -> None:
    raise RuntimeError("no locator available")


@pytest.mark.parametrize("arms", [8, 12, 16])
def test_where_arrays_lie_changes_no_bit(arms: int) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0.0, 9.0, (ARM_ROWS, arms))
    found, kept = set(), []
    for step in range(2000):  # the heap moves: beside another array, or far from all
        there, moments = drawn.copy(), drawn[: SAMPLING + 1].copy()
        noises(there)
        _charge(there, 0.5, 0.1, 4.0, moments)
        found.add((there.tobytes(), moments.tobytes()))
        kept += [there] * (step % 3 > 0) + [moments] * (step % 2)
        if len(kept) > 100:
            del kept[::2]
    assert len(found) == 1


def test_what_may_reorder_sums_writes_no_array() -> None:
    found = 0
    for file in Path(bandit_router.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and "reordered" in map(
                ast.unparse, node.decorator_list
            ):
                found += 1
                inside = [n for n in ast.walk(node) if isinstance(n, ast.Subscript)]
                assert not any(isinstance(n.ctx, ast.Store) for n in inside), node.name
                assert not any(isinstance(n, ast.Call) and "np.empty" in ast.unparse(n)
                               for n in ast.walk(node)), node.name  # fmt: skip
    assert found


def test_code_is_kept_by_what_it_may_do_with_sums(
    imported: Callable[..., ModuleType], tmp_path: Path
) -> None:
    module = imported()
    module.both(2)
    for decorated in (compiled, reordered):
        again = decorated(module.both.py_func)
        assert again(2) == 31
        assert sum(again.stats.cache_hits.values()) == (decorated is compiled)


def test_compiling_ends_when_it_is_told_and_can_begin_again(
    imported: Callable[..., ModuleType],
) -> None:
    module, stop = imported(), Event()
    with install_listener("numba:compile", _Compiling(stop)) as made:
        stop.set()
        with pytest.raises(Stopped):
            module.both(2)
        assert made.count == 0
        stop.clear()
        assert module.both(2) == 31
        assert made.count == 2


def test_what_a_function_is_made_of() -> None:
    assert made_of(_twice) == made_of(_twice)
    assert made_of(_twice) != made_of(_thrice)


def _twice(x: float) -> float:
    return 2.0 * x


def _thrice(x: float) -> float:
    return 3.0 * x


PAIR = """
from bandit_router.compiled import compiled
@compiled
def pair(x):
    return x[1:], x.astype(np.int64)
"""
OF_PAIR = """
from pair import compiled, np, pair
@compiled
def total(x):
    return pair(x)[0].sum()
"""


def test_what_two_processes_have_compiled_does_not_mix_in_a_third(tmp_path: Path) -> None:
    def process(*lines: str) -> None:
        script = "; ".join(("import numpy as np", "from total import pair, total", *lines))
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"}
        env.pop("NUMBA_CACHE_DIR", None)
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    (tmp_path / "pair.py").write_text("import numpy as np" + PAIR)
    (tmp_path / "total.py").write_text(OF_PAIR)
    process("pair(np.ones(3))", "total(np.ones(3))")
    with (tmp_path / "pair.py").open(
        "a"
    ) as file:  # another release: one of the two is compiled again
        file.write("# more\n")
    process("total(np.ones(3))", "pair(np.ones(3))")
    process("total(np.ones(3))", "assert len(pair(np.ones(3))) == 2")


def test_a_process_that_is_forked_off_names_its_code_by_itself() -> None:
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, str(next(FunctionIdentity._unique_ids)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert abs(int(os.read(read, 20)) - next(FunctionIdentity._unique_ids)) > 1_000_000
