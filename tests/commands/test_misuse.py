"""Whatever is wrong with a command is said in one line that names it; nothing is written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandit_router.cli import main

ROW = '{"prompt": "a", "model": "m", "reward": 1, "propensity": 0.5}\n'
FILES = {
    "good.jsonl": ROW,
    "empty.jsonl": "",
    "column.jsonl": ROW.replace("prompt", "question"),
    "column.csv": "question,model,reward\na,m,1\n",
    "header.csv": "prompt,model,reward\n",
    "words.jsonl": ROW.replace("1,", '"good",'),
    "text.db": "This is no database.\n" * 50,
    "bad.toml": "[models\n",
    "unknown.toml": "[bandit]\nstrenght = 3\n",
    "empty/prompts.jsonl": "",
    "empty/outcomes.csv": "id,model,quality,cost_usd\n",
    "table/prompts.jsonl": '{"id": "1", "prompt": "a", "task": "t"}\n',
    "table/outcomes.csv": "id,model,quality,cost_usd\n1,m,1,1\n",
    "table/models.json": '[{"name": "m"}]',
    "column/prompts.jsonl": '{"id": "1", "prompt": "a", "task": "t"}\n',
    "column/outcomes.csv": "a,b\n1,m\n",
    "column/models.json": '[{"name": "m"}]',
}
WRONG = [  # a command, what it ends with, what it must say
    ("serve --config none.toml", 2, "cannot read none.toml"),
    ("serve --config table", 2, "is a directory"),
    ("serve --config bad.toml", 2, "not valid TOML"),
    ("serve --config unknown.toml", 2, "did you mean 'strength'"),
    ("serve --demo --db table", 2, "is a directory"),
    ("serve --demo --db nowhere/a.db", 1, "make it first"),
    ("serve --demo --db text.db", 1, "not a database"),
    ("init nowhere/a.toml", 1, "there is no folder nowhere"),
    ("init bad.toml", 1, "there already"),
    ("route ' '", 2, "must not be blank"),
    ("route hi", 2, "give --db FILE, or --config FILE"),
    ("route hi --db none.db", 1, "there is no database"),
    ("route hi --db text.db", 1, "not a database"),
    ("simulate --table none", 1, "none is no folder"),
    ("simulate --table good.jsonl", 1, "good.jsonl is no folder"),
    ("simulate --table empty", 1, "no prompts"),
    ("simulate --table column", 1, "outcomes.csv"),
    ("simulate --table ''", 2, "name at least one"),
    ("simulate --table table --policy thomson", 2, "did you mean 'thompson'"),
    ("simulate --table table --policy fixed:n", 2, "no model 'n'"),
    ("simulate --table table --models n", 2, "no model 'n'"),
    ("simulate --table table --scenario moon", 2, "no scenario 'moon'; there are"),
    ("simulate --table table --budget 1 --cost-weight 1", 2, "'--cost-weight': give a budget or"),
    ("simulate --table table --train 1", 2, "'--train': train must be at least 0 and leave"),
    ("simulate --table table --policy forest", 2, "give it some of the table with --train"),
    ("simulate --table table --sweep a,b", 2, "'a,b': give numbers"),
    ("simulate --table table --out good.jsonl", 2, "is a file"),
    ("replay none.jsonl", 1, "cannot read none.jsonl"),
    ("replay table", 1, "no .parquet file"),
    ("replay empty.jsonl", 1, "the log is empty"),
    ("replay header.csv", 1, "the log is empty"),
    ("replay column.jsonl", 1, "column.jsonl:1: no 'prompt'"),
    ("replay column.csv", 1, "lacks prompt"),
    ("replay words.jsonl", 1, "words.jsonl:1: reward is 'good'"),
    ("replay text.db", 1, "give a bandit-router database"),
    ("replay good.jsonl --policy thomson", 2, "did you mean 'thompson'?; there are"),
    ("replay good.jsonl --policy fixed:n", 2, "no model 'n' in the log"),
    ("replay good.jsonl --clip x", 2, "clip is 'x'"),
    ("warm-start none.jsonl --db a.db", 1, "cannot read none.jsonl"),
    ("warm-start column.jsonl --db a.db", 1, "no 'prompt'"),
    ("warm-start good.jsonl --db table", 2, "is a directory"),
    ("warm-start good.jsonl --db text.db", 1, "not a database"),
    ("tune", 2, "give a LOG or --table DIR"),
    ("tune --table none", 1, "none is no folder"),
    ("tune --table table --policy random", 2, "thompson or global-thompson"),
    ("tune --table table --max-cost 1 --cost-weight 1", 2, "--cost-weight': give a highest cost"),
    ("tune --table table --policy thomson", 2, "'--policy': tune searches"),
    ("tune --table table --out table", 2, "is a directory"),
    ("tune good.jsonl --out good.jsonl", 1, "there already"),
    ("tune column.jsonl", 1, "no 'prompt'"),
    ("verify --db none.db", 1, "there is no database"),
    ("verify --db text.db", 1, "not a database"),
    ("compact --db none.db --keep-days 3", 1, "there is no database"),
    ("export --db none.db --map a.html", 1, "there is no database"),
    ("export --db none.db", 2, "give one of --backup"),
    ("import none.jsonl --db a.db", 2, "does not exist"),
    ("import good.jsonl --db nowhere/a.db", 1, "make it first"),
    ("keys add app --db nowhere/a.db", 1, "check its folder"),
    ("keys add '' --db a.db", 2, "must not be blank"),
    ("keys add app --db a.db --scopes all", 2, "'--scopes': scopes: give some of route"),
    ("keys add app --db a.db --usd-total -1", 2, "'--usd-total': usd_total: must be above 0"),
    ("keys add app --db text.db", 1, "not a database"),
    ("keys list --db none.db", 1, "there is no database"),
    ("keys revoke app --db none.db", 1, "there is no database"),
    ("bench --suite moon", 2, "there are: core"),
    ("bench --history table", 2, "is a directory"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("misuse")
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix != ".lock"
    }


@pytest.mark.parametrize(("command", "code", "says"), WRONG)
def test_what_is_wrong_is_said(
    command: str, code: int, says: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = contents(folder)
    done = CliRunner().invoke(main, shlex.split(command))
    assert isinstance(done.exception, SystemExit), done.exception  # no traceback
    assert done.exit_code == code, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.stderr
    assert says in lines[0]
    assert contents(folder) == before
    if code == 1:
        asked = CliRunner().invoke(main, [*shlex.split(command), "--json"])
        assert says in json.loads(asked.stdout)["error"]["message"]


def test_keys_that_are_not_set_are_told_before_anybody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_THAT_IS", "secret")
    endpoints = "".join(
        f'[[models]]\nname = "{key}"\n[[models.endpoints]]\n'
        f'base_url = "http://127.0.0.1:9/v1"\napi_key_env = "{key}"\n'
        for key in ("KEY_THAT_IS", "KEY_THAT_IS_NOT")
    )
    (tmp_path / "c.toml").write_text(endpoints)
    nowhere = str(tmp_path / "nowhere" / "a.db")
    done = CliRunner().invoke(
        main, ["serve", "--config", str(tmp_path / "c.toml"), "--db", nowhere]
    )
    assert "Not set in the environment: KEY_THAT_IS_NOT;" in done.stderr
