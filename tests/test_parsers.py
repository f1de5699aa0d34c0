"""Files from strangers: whatever is in them, the error is ours and says where.

``HOSTILE=50`` tries fifty times as many (`make hostile`).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_router import Feedback, Router
from bandit_router.config import Settings, load_config, parse_config
from bandit_router.exceptions import ConfigError, InvalidInput, StoreError
from bandit_router.simulator.logs import read_log
from bandit_router.store import EventStore, import_events, transfer

FAST = settings(
    max_examples=150 * int(os.environ.get("HOSTILE", "1")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["prompt", "model", "reward", "propensity", "cost_usd", "x"])
TABLES = st.sampled_from([*Settings.__struct_fields__, "models", "x"])
NAMES = st.sampled_from(["name", "host", "port", "strategy", "weights", "resolutions", "path",
                         "user_cap", "endpoints", "cors_origins", "x"])  # fmt: skip


@pytest.mark.parametrize("kind", ["log.jsonl", "log.csv", "log.parquet", "log.db", "log"])
@FAST
@given(data=st.binary(max_size=300))
def test_any_bytes_as_a_log(tmp_path: Path, kind: str, data: bytes) -> None:
    path = tmp_path / kind
    path.write_bytes(data)
    with pytest.raises((InvalidInput, StoreError), match="log"):
        read_log(path)


@FAST
@given(rows=st.lists(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES, min_size=1, max_size=4))
def test_any_json_as_a_log(tmp_path: Path, rows: list) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    try:
        read_log(path)
    except InvalidInput as error:
        assert str(path) in str(error)  # noqa: PT017


@FAST
@given(raw=st.dictionaries(TABLES, st.dictionaries(NAMES, VALUES, max_size=3) | VALUES, max_size=3))
def test_any_settings(raw: dict) -> None:
    try:
        parse_config(raw)
    except ConfigError as error:
        assert str(error)  # noqa: PT017


@FAST
@given(
    data=st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_file_as_settings(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    try:
        load_config(path)
    except ConfigError:
        return
    tomllib.loads(data.decode())  # taken only if it is TOML


@FAST
@given(data=st.binary(max_size=400), where=st.integers(0, 8000))
def test_a_damaged_database_says_so(tmp_path: Path, data: bytes, where: int) -> None:
    path = tmp_path / "log.db"
    whole = _database(tmp_path)
    path.write_bytes(whole[:where] + data + whole[where + len(data) :])
    try:
        with EventStore.open(path, readonly=True) as store:
            list(store.events())
            list(store.bodies())
            store.lineage()
    except StoreError as error:
        assert "log.db" in str(error) or "event" in str(error)  # noqa: PT017


def _database(folder: Path, cache: dict[str, bytes] = {}) -> bytes:  # noqa: B006
    if "db" not in cache:
        router = Router(["a"], embedder="none")
        with EventStore.open(folder / "made.db") as store:
            store.append([router.initial])
            for _ in range(5):
                decision = router.decide(vector=[1.0, 0.0])
                store.append([decision], router.apply(decision))
        with EventStore.open(folder / "made.db", readonly=True) as store:
            store.backup(folder / "copy.db")
        cache["db"] = (folder / "copy.db").read_bytes()
    return cache["db"]


ROWS = [
    {"prompt": f"question {i}", "model": "ab"[i % 2], "reward": i / 9, "propensity": 0.5}
    for i in range(9)
]
DAMAGE = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 5), st.binary(max_size=5)),
    min_size=1,
    max_size=3,
)


def damaged(data: bytes, damage: list[tuple[int, int, bytes]]) -> bytes:
    """Return bytes of which some are others, some are missing, or the end is."""
    for where, gone, put in damage:
        at = where % (len(data) + 1)
        data = data[:at] if gone == 5 else data[:at] + put + data[at + gone :]
    return data


def as_file(kind: str) -> bytes:
    if "parquet" in kind:
        pyarrow = pytest.importorskip("pyarrow.parquet")
        sink = io.BytesIO()
        pyarrow.write_table(pytest.importorskip("pyarrow").Table.from_pylist(ROWS), sink)
        return sink.getvalue()
    text = io.StringIO()
    if "csv" in kind:
        out = csv.DictWriter(text, list(ROWS[0]))
        out.writeheader()
        out.writerows(ROWS)
    else:
        text.write("\n".join(map(json.dumps, ROWS)))
    data = text.getvalue().encode()
    return gzip.compress(data, mtime=0) if kind.endswith(".gz") else data


@pytest.mark.parametrize(
    "kind", ["log.jsonl", "log.csv", "log.jsonl.gz", "log.csv.gz", "log.parquet"]
)
@FAST
@given(damage=DAMAGE)
def test_a_damaged_log_says_where(tmp_path: Path, kind: str, damage: list) -> None:
    path = tmp_path / kind
    path.write_bytes(damaged(as_file(kind), damage))
    try:
        assert len(read_log(path)) <= len(ROWS) * 2
    except InvalidInput as error:
        where = r"log[.a-z]*(:\d+|, row \d+)|after line \d+|is empty|no valid Parquet"
        assert re.search(where, str(error))  # noqa: PT017


def test_events_of_odd_parts_or_without_an_end_say_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventStore.open(_made(tmp_path), readonly=True) as store:
        events = [msgspec.to_builtins(event) for event in store.events()]
    decision = next(i for i, event in enumerate(events) if event["kind"] == "decision")
    odd = [
        (decision, {"candidates": [], "request": {"key": "k"}}),
        (decision, {"candidates": [{"model": None}]}),
        (0, {"body": {"settings": 5, "models": [], "projection": None}}),
        (0, {"body": {}}),
        (0, {"body": {"settings": {}, "models": "a", "projection": "x"}}),
    ]
    for number, (at, fields) in enumerate(odd):
        lines = [*events[:at], {**events[at], **fields}]
        with (
            EventStore.open(tmp_path / f"odd{number}.db") as store,
            pytest.raises(InvalidInput, match=f"line {at + 1}: "),
        ):
            import_events(map(msgspec.json.encode, lines), store)
    monkeypatch.setattr(transfer, "MAX_LINE", 1000)
    with (
        EventStore.open(tmp_path / "long.db") as store,
        pytest.raises(InvalidInput, match="line 1: longer than"),
    ):
        import_events([b"[" * 1001], store)


@settings(FAST, max_examples=FAST.max_examples // 3)
@given(damage=DAMAGE)
def test_damaged_events_say_where(tmp_path: Path, damage: list) -> None:
    with EventStore.open(_made(tmp_path), readonly=True) as store:
        lines = b"\n".join(msgspec.json.encode(event) for event in store.events())
    target = tmp_path / "new.db"
    target.unlink(missing_ok=True)
    with EventStore.open(target) as store:
        try:
            import_events(damaged(lines, damage).splitlines(), store)
        except (InvalidInput, StoreError) as error:
            assert re.search(r"line \d+: |no events", str(error))  # noqa: PT017


@FAST
@given(damage=DAMAGE)
def test_a_damaged_snapshot_is_refused(damage: list) -> None:
    try:
        Router.restore([], state=damaged(_snapshot(), damage))
    except StoreError as error:
        assert "snapshot" in str(error) or "log" in str(error)  # noqa: PT017
    except InvalidInput:  # it names a strategy that there is not
        pass


def test_a_snapshot_cut_short_is_refused() -> None:
    whole = _snapshot()
    for end in range(0, len(whole), 97):
        with pytest.raises(StoreError, match="the snapshot is damaged"):
            Router.restore([], state=whole[:end])


def _snapshot() -> bytes:
    router = Router(["a", "b"], embedder="none")
    for _ in range(3):
        router.feedback(
            Feedback(decision_id=router.route(vector=[1.0, 0.0]).decision_id, reward=1.0)
        )
    return router.snapshot()


def _made(folder: Path) -> Path:
    path = folder / "whole.db"
    path.write_bytes(_database(folder))
    return path
