"""The command line: exit codes, JSON, and what it says when it fails."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bandit_router import Feedback, Router
from bandit_router.cli import main
from bandit_router.config import ClustererSettings, Settings, StoreSettings
from bandit_router.simulator import read_table
from bandit_router.store import EventStore, restore


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A small log with a snapshot in it."""
    path = tmp_path / "router.db"
    router = Router(["small", "large"], embedder="none")
    with EventStore.open(path) as store:
        store.append([router.initial])
        for step in range(20):
            decision = router.decide(vector=[1.0, step / 10])
            lineage = router.apply(decision)
            store.append([decision], lineage)
            if step == 10:
                _snapshot(store, router)
    return path


def _snapshot(store: EventStore, router: Router, spoil: bool = False) -> None:
    from bandit_router import codec
    from bandit_router.fold import FOLD_VERSION

    body = router.snapshot()
    digest = codec.digest(body + b"!" if spoil else body)
    store.save_snapshot(router.seq, body, digest, FOLD_VERSION)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"bandit-router {command}" in out
    assert "--json" in out or "Commands:" in out


def test_init_writes_a_file_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    assert run("init", str(file))[0] == 0
    before = file.read_text()
    code, _, err = run("init", str(file))
    assert code == 1
    assert "there already" in err
    assert file.read_text() == before


def test_verify_agrees(database: Path) -> None:
    code, out, _ = run("verify", "--db", str(database), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["agrees"]
    assert (found["events"], found["snapshots"]) == (21, 1)


def test_verify_finds_a_snapshot_that_is_not_the_fold(database: Path) -> None:
    with EventStore.open(database) as store:
        router = Router.restore(store.events(), recall=store.recall)
        _snapshot(store, router, spoil=True)
    code, out, _ = run("verify", "--db", str(database))
    assert code == 1
    assert "1 disagree" in out


@pytest.mark.parametrize("command", [("verify",), ("route", "hello")])
def test_a_database_that_is_not_there(tmp_path: Path, command: tuple[str, ...]) -> None:
    code, _, err = run(*command, "--db", str(tmp_path / "none.db"))
    assert code == 1
    assert "none.db" in err
    assert not (tmp_path / "none.db").exists()


def test_route_without_an_embedder_says_so_as_json(database: Path) -> None:
    code, out, _ = run("route", "hello", "--db", str(database), "--json")
    assert code == 1
    assert json.loads(out)["error"]["field"] == "embedding"


@pytest.mark.minilm
def test_route_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init")[0] == 0
    arguments = ("route", "Prove that 17 is prime.", "--config", "bandit-router.toml")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "insufficient evidence" in out
    data = json.loads(run(*arguments, "--json")[1])
    assert data["model"] in ("small", "large")
    assert sum(c["propensity"] for c in data["candidates"]) == pytest.approx(1.0)
    assert not list(tmp_path.glob("*.db"))


def test_bad_settings_are_bad_usage(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[bandit]\nstrenght = 3\n")
    code, _, err = run("serve", "--config", str(file), "--db", str(tmp_path / "x.db"))
    assert code == 2
    assert "strength" in err


def test_export_copies_the_database_and_its_events(database: Path, tmp_path: Path) -> None:
    copy, lines = tmp_path / "copy.db", tmp_path / "events.jsonl"
    assert run("export", "--db", str(database), "--backup", str(copy))[0] == 0
    assert run("verify", "--db", str(copy))[0] == 0
    code, out, _ = run("export", "--db", str(database), "--events", str(lines), "--json")
    assert code == 0
    assert json.loads(out) == {"written": str(lines)}
    events = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, 22))
    before = lines.read_bytes()
    for option, file in (("--events", lines), ("--backup", copy)):
        assert run("export", "--db", str(database), option, str(file))[0] == 1
    assert lines.read_bytes() == before
    assert run("export", "--db", str(database))[0] == 2


def test_keys_are_printed_once_and_listed_without_their_hash(tmp_path: Path) -> None:
    db = str(tmp_path / "router.db")
    made = json.loads(run("keys", "add", "app", "--db", db, "--json")[1])
    assert made["key"].startswith(f"br_{made['id']}_")
    assert made["scopes"] == ["route", "feedback"]
    assert run("keys", "add", "app", "--db", db)[0] == 1
    code, out, err = run("keys", "add", "b", "--db", db, "--scopes", "root")
    assert (code, "admin" in err) == (2, True)
    code, out, _ = run("keys", "list", "--db", db)
    assert "app" in out
    assert made["key"] not in out
    assert run("keys", "revoke", "app", "--db", db)[0] == 0
    found = json.loads(run("keys", "list", "--db", db, "--json")[1])["keys"]
    assert [(key["name"], key["revoked"] is None) for key in found] == [("app", False)]
    assert "hash" not in found[0]


def kept(path: Path) -> Path:
    """A database whose prompts were kept, rated, with a merge of clusters behind it."""
    settings = Settings(
        store=StoreSettings(keep_prompts=True), clusterer=ClustererSettings(max_clusters=4)
    )
    router = Router(["small", "large"], settings=settings, embedder="none")
    with EventStore.open(path) as store:
        store.append([router.initial])
        for step in range(60):
            angle = step * 0.7
            decision = router.decide(
                f"question {step % 20}", vector=[math.cos(angle), math.sin(angle), 0.3]
            )
            store.append([decision], router.apply(decision))
            said = Feedback(decision_id=decision.decision_id, reward=step % 2, cost_usd=0.01)
            _, event = router.judge(said)
            assert event is not None
            store.append([event], router.apply(event))
    return path


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    db, lines, copy = kept(tmp_path / "a.db"), tmp_path / "a.jsonl", tmp_path / "b.db"
    assert run("export", "--db", str(db), "--events", str(lines))[0] == 0
    code, out, _ = run("import", str(lines), "--db", str(copy), "--json")
    assert (code, json.loads(out)) == (0, {"events": 121})
    with EventStore.open(db, readonly=True) as one, EventStore.open(copy, readonly=True) as other:
        assert list(one.events()) == list(other.events())
        assert one.lineage() == other.lineage()
        assert restore(one).snapshot() == restore(other).snapshot()
    code, _, err = run("import", str(lines), "--db", str(copy))
    assert code == 1
    assert "holds events already" in err


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lines: [*lines[:3], "{", *lines[3:]], "line 4"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3: event 4 does not follow"),
        (lambda lines: [], "no events"),
    ],
)
def test_what_is_no_export_is_refused_by_line(tmp_path: Path, spoil: Any, says: str) -> None:
    lines = tmp_path / "a.jsonl"
    assert run("export", "--db", str(kept(tmp_path / "a.db")), "--events", str(lines))[0] == 0
    lines.write_text("\n".join(spoil(lines.read_text().splitlines())))
    code, _, err = run("import", str(lines), "--db", str(tmp_path / "b.db"))
    assert code == 1
    assert says in err


def test_a_log_becomes_a_routing_table(tmp_path: Path, database: Path) -> None:
    db, folder = kept(tmp_path / "a.db"), tmp_path / "table"
    assert run("export", "--db", str(db), "--table", str(folder))[0] == 0
    table = read_table(folder)
    assert len(table.prompts) == 20
    assert {model.name for model in table.models} == {"small", "large"}
    assert np.nanmean(table.quality) == pytest.approx(0.5, abs=0.3)
    assert table.cost.max() == pytest.approx(0.01)
    code, _, err = run("export", "--db", str(db), "--table", str(folder))
    assert (code, "there already" in err) == (1, True)
    code, _, err = run("export", "--db", str(database), "--table", str(tmp_path / "none"))
    assert (code, "keep_prompts" in err) == (1, True)
