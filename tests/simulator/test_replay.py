"""Off-policy estimates are right where the truth is known, and doubt themselves where not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_router import Feedback, Router
from bandit_router.cli import main
from bandit_router.config import Settings, parse_config
from bandit_router.exceptions import InvalidInput, StoreError
from bandit_router.simulator.logs import read_log
from bandit_router.simulator.ope import Evaluation, dm, dr, ips, snips
from bandit_router.simulator.plain_words import text
from bandit_router.simulator.replay import replay
from bandit_router.simulator.warm import warm_start
from bandit_router.store import EventStore, restore, verify
from bandit_router.types import Outcome

MEAN = {"good": 0.8, "bad": 0.3}


def test_golden_numbers() -> None:
    """Worked by hand: two decisions, two arms."""
    seen = Evaluation(
        target=np.array([[0.5, 0.5], [1.0, 0.0]]),
        model=np.array([[0.5, 0.2], [0.6, 0.4]]),
        action=np.array([1, 0]),
        reward=np.array([1.0, 0.0]),
        propensity=np.array([0.25, 0.5]),
    )
    assert seen.weights.tolist() == [2.0, 2.0]
    assert seen.ess == pytest.approx(2.0)
    assert ips(seen).value == pytest.approx(1.0)
    assert snips(seen).value == pytest.approx(0.5)
    assert dm(seen).value == pytest.approx((0.35 + 0.6) / 2)
    assert dr(seen).value == pytest.approx(((0.35 + 2 * 0.8) + (0.6 - 2 * 0.6)) / 2)


def world(n: int, seed: int) -> Evaluation:
    rng = np.random.default_rng(seed)
    x = rng.random(n)
    quality = np.stack([0.2 + 0.6 * x, 0.8 - 0.6 * x], axis=1)
    logging = np.stack([0.3 + 0.4 * x, 0.7 - 0.4 * x], axis=1)
    action = (rng.random(n) > logging[:, 0]).astype(int)
    reward = (rng.random(n) < quality[np.arange(n), action]).astype(float)
    target = np.stack([x > 0.5, x <= 0.5], axis=1).astype(float)
    model = np.clip(quality + 0.1, 0, 1)  # biased on purpose
    return Evaluation(target, model, action, reward, logging[np.arange(n), action])


def test_intervals_hold_the_truth_and_the_model_alone_does_not() -> None:
    truth = 0.65  # the mean of 0.2 + 0.6 max(x, 1 - x)
    held = dict.fromkeys((ips, snips, dr, dm), 0)
    for seed in range(200):
        for estimate in held:
            found = estimate(world(400, seed))
            held[estimate] += found.ci[0] <= truth <= found.ci[1]
    assert min(held[ips], held[snips], held[dr]) >= 180
    assert held[dm] < 20


def test_doubly_robust_is_tighter_than_ips() -> None:
    found = world(2000, 0)
    width = [e(found).ci[1] - e(found).ci[0] for e in (dr, ips)]
    assert width[0] < width[1]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A service's log: 600 random decisions, most with feedback, one after a failover."""
    path = tmp_path / "log.db"
    logging = parse_config({"bandit": {"strategy": "random"}, "store": {"keep_prompts": True}})
    router = Router(list(MEAN), settings=logging.settings, embedder="none")
    rng = np.random.default_rng(0)
    with EventStore.open(path) as store:
        store.append([router.initial])
        for step in range(600):
            decision = router.decide("hello", vector=rng.standard_normal(5))
            events = [decision]
            router.apply(decision)
            if step == 0:
                other = "good" if decision.model == "bad" else "bad"
                moved = Outcome(seq=0, time=0, decision_id=decision.decision_id, model=other)
                events.append(router.outcome(moved))
                router.apply(events[-1])
            if step % 10:
                reward = float(rng.random() < MEAN[decision.model])
                said = Feedback(decision_id=decision.decision_id, reward=reward)
                events.append(router.judge(said)[1])
                router.apply(events[-1])
            store.append(events)
    return path


def test_the_contract_of_the_json(database: Path) -> None:
    arguments = ["replay", str(database), "--policy", "thompson,fixed:bad,fixed:good", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    counted = {"decisions": 599, "with_feedback": 540, "ess_warning": False}
    assert {key: found["log"][key] for key in counted} == counted
    for policy in found["policies"].values():
        assert set(policy["estimators"]) == {"ips", "snips", "dm", "dr", "replay"}
        for estimate in policy["estimators"].values():
            assert set(estimate) == {"value", "ci", "ess"}
    for name, mean in MEAN.items():
        estimate = found["policies"][f"fixed:{name}"]["estimators"]["dr"]
        assert estimate["ci"][0] < mean < estimate["ci"][1]
    assert found["worth_it"]["best_constant"] == "good"
    assert found["worth_it"]["verdict"] in ("no", "unclear")  # context is worth nothing here


def test_plain_words(database: Path) -> None:
    out = text(replay(database, ["thompson", "random"], progress=False))
    assert "599 decisions, 540 with feedback" in out
    assert "worth it" in out


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def rows_of(n: int, **more: object) -> list[dict]:
    rng = np.random.default_rng(1)
    models = rng.choice(list(MEAN), n)
    return [
        {"prompt": f"p {i}", "model": str(m), "reward": float(rng.random() < MEAN[m]), **more}
        for i, m in enumerate(models)
    ]


def test_a_log_without_propensities_gets_the_direct_method_and_a_warning(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "l.jsonl", rows_of(300))
    found = replay(log, ["global-thompson"], embedder="none", progress=False)
    assert set(found["policies"]["global-thompson"]["estimators"]) == {"dm"}
    assert found["log"]["ess_warning"]
    assert found["worth_it"]["verdict"] == "unclear"


def test_csv_and_parquet_and_jsonl_are_the_same_log(tmp_path: Path) -> None:
    rows = rows_of(200, propensity=0.5, cost_usd=0.01)
    jsonl = write_jsonl(tmp_path / "l.jsonl", rows)
    csv = tmp_path / "l.csv"
    header = list(rows[0])
    csv.write_text(
        "\n".join([",".join(header), *(",".join(str(r[k]) for k in header) for r in rows)])
    )
    results = [replay(p, ["random"], embedder="none", progress=False) for p in (jsonl, csv)]
    assert results[0] == results[1]
    for path in (jsonl, csv):
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert [vars(r) for r in read_log(packed)] == [vars(r) for r in read_log(path)]
    csv.write_text(f"prompt,model,reward\n{'long ' * 40_000},m,1\n")
    assert len(read_log(csv)) == 1
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "l.parquet")
    assert replay(tmp_path / "l.parquet", ["random"], embedder="none", progress=False) == results[0]


def test_no_overlap_is_said(tmp_path: Path) -> None:
    rows = rows_of(400, propensity=0.999)
    rows = [r | {"model": "good"} for r in rows] + [rows[0] | {"model": "bad", "propensity": 0.001}]
    found = replay(
        write_jsonl(tmp_path / "l.jsonl", rows), ["fixed:bad"], embedder="none", progress=False
    )
    assert found["log"]["ess_warning"]
    assert found["policies"]["fixed:bad"]["overlap"]["verdict"] == "none"
    assert "no promise" in text(found)


def test_what_was_never_tried_is_not_estimated(tmp_path: Path) -> None:
    """Our own log knows of an arm that was eligible and never chosen."""
    path = tmp_path / "log.db"
    router = Router(["good", "bad", "new"], embedder="none", settings=logging("fixed:good"))
    with EventStore.open(path) as store:
        store.append([router.initial])
        for _ in range(150):
            decision = router.route(vector=[1.0, 0.0])
            said = router.judge(Feedback(decision_id=decision.decision_id, reward=1.0))[1]
            router.apply(said)
            store.append([decision, said])
    found = replay(path, ["fixed:new", "fixed:good"], progress=False)
    new = found["policies"]["fixed:new"]["estimators"]
    assert [new[kind]["value"] for kind in ("ips", "snips", "dr", "replay")] == [None] * 4
    assert found["policies"]["fixed:good"]["estimators"]["ips"]["value"] == 1.0
    assert found["worth_it"]["best_constant"] == "good"
    assert "no promise" in text(found)
    json.dumps(found, allow_nan=False)


def logging(strategy: str) -> Settings:
    raw = {"bandit": {"strategy": strategy}, "store": {"keep_prompts": True}}
    return parse_config(raw).settings


def test_replay_lives_only_through_what_is_like_itself(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "l.jsonl", rows_of(2000, propensity=0.5))
    found = replay(log, ["fixed:good", "global-thompson"], embedder="none", progress=False)
    lived = found["policies"]["fixed:good"]["estimators"]["replay"]
    assert 900 < lived["ess"] < 1100  # every choice of the log that is its own
    assert lived["ci"][0] < MEAN["good"] < lived["ci"][1]
    learner = found["policies"]["global-thompson"]["estimators"]["replay"]
    assert learner["value"] > 0.65


def test_costs_and_the_mix_at_the_same_cost(tmp_path: Path) -> None:
    rows = rows_of(1500, propensity=0.5)
    for row in rows:
        row["cost_usd"] = 0.01 if row["model"] == "good" else 0.002
    del rows[7]["cost_usd"]
    log = write_jsonl(tmp_path / "l.jsonl", rows)
    found = replay(log, ["random", "fixed:good"], embedder="none", progress=False)
    policies = found["policies"]
    assert policies["fixed:good"]["cost_usd"]["value"] == pytest.approx(0.01, rel=0.01)
    assert policies["random"]["cost_usd"]["value"] == pytest.approx(0.006, rel=0.05)
    worth = found["worth_it"]
    assert worth["policy"] == "random"
    assert worth["verdict"] == "no"
    assert worth["best_mix"]["value"] == pytest.approx(0.55, abs=0.05)
    assert worth["best_mix"]["gain"] == pytest.approx(0.0, abs=0.02)  # it is half and half, too
    assert "best mix without context" in text(found)
    weighed = replay(log, ["fixed:bad"], embedder="none", cost_weight=1.0, progress=False)
    value = weighed["policies"]["fixed:bad"]["estimators"]["dr"]
    assert value["ci"][0] < 0.3 - 0.2 < value["ci"][1]
    assert weighed["worth_it"]["best_constant"] == "bad"  # 0.1 against 0.8 - 1
    with pytest.raises(InvalidInput, match="no costs") as caught:
        replay(
            write_jsonl(tmp_path / "m.jsonl", rows_of(50, propensity=0.5)),
            ["random"],
            embedder="none",
            cost_weight=1.0,
            progress=False,
        )
    assert caught.value.field == "cost_weight"


def test_gaps_in_a_log_are_said(tmp_path: Path) -> None:
    rows = rows_of(900, propensity=0.5)
    for i, row in enumerate(rows):
        if i % 9 == 0:
            del row["propensity"]
        elif row["model"] == "bad" and i % 2:
            del row["reward"]
    found = replay(
        write_jsonl(tmp_path / "l.jsonl", rows), ["random"], embedder="none", progress=False
    )
    said = " ".join(found["log"]["notes"])
    assert "100 decisions without a propensity are left out" in said
    assert "Feedback came for 100% of the decisions of good" in said


def test_clipping_and_intervals_are_chosen_on_the_command_line(tmp_path: Path) -> None:
    log = str(write_jsonl(tmp_path / "l.jsonl", rows_of(300, propensity=0.5)))
    arguments = ["replay", log, "--policy", "random", "--embedder", "none"]
    more = ["--clip", "switch:1.5", "--interval", "bootstrap"]
    result = CliRunner().invoke(main, [*arguments, *more])
    assert result.exit_code == 0, result.stderr
    assert "Weights clipped: switch:1.5; intervals: bootstrap." in result.stdout
    refused = CliRunner().invoke(main, [*arguments, "--clip", "much"])
    assert refused.exit_code == 2
    assert "clip is 'much'" in refused.stderr
    assert CliRunner().invoke(main, [*arguments, "--interval", "wide"]).exit_code == 2


def test_policies_that_are_fitted_cannot_go_through_a_log(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "l.jsonl", rows_of(20, propensity=0.5))
    with pytest.raises(InvalidInput, match="fitted"):
        replay(log, ["forest"], embedder="none", progress=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.jsonl", "{", r"l\.jsonl:1: no valid JSON"),
        ("l.jsonl", '{"prompt":"a","model":"m","reward":2}', r":1: reward is 2"),
        ("l.jsonl", '{"prompt":"a","model":"m","reward":1,"propensity":0}', "impossible"),
        ("l.jsonl", '{"prompt":"a","reward":1}', r":1: no 'model'"),
        ("l.jsonl", "[1]", "one JSON object"),
        ("l.jsonl", "", "the log is empty"),
        ("l.jsonl", '{"prompt":"a","model":"m"}', "no decision has feedback"),
        ("l.jsonl", '{"prompt":"a","model":"a,b","reward":1}', r":1: 'a,b' is no model name"),
        ("l.jsonl", '{"prompt":"a","model":"m","reward":1,"propensity":1e-300}', "impossible"),
        ("l.jsonl", '{"prompt":"a","model":"m","reward":1,"cost_usd":1e99}', r":1: cost_usd is"),
        ("l.csv", "prompt,model,reward,reward\na,b,1,1\n", r"l\.csv:1: the header has"),
        ("l.csv", 'prompt,model,reward\na,b,1\n"a', r"l\.csv: no valid CSV after line 2"),
        ("l.csv.gz", "no gzip", r"l\.csv\.gz: no valid CSV"),
        ("l.jsonl.gz", "no gzip", r"l\.jsonl\.gz:1: cannot be read"),
        ("l.csv", "prompt,model\na,b\n", r"l\.csv:1: the header lacks reward"),
        ("l.csv", "prompt,model,reward\na,b\n", r"l\.csv:2: not as many"),
        ("l.csv", "prompt,model,reward\na,b,nan\n", r"l\.csv:2: reward is 'nan'"),
        ("l.txt", "hello", r"give a bandit-router database, or \.jsonl"),
    ],
)
def test_bad_logs_name_file_and_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match=message):
        replay(tmp_path / name, ["random"], embedder="none", progress=False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["l.jsonl", "l.csv"]))
def test_nothing_else_ever_comes_out_of_nonsense(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((InvalidInput, StoreError)):
        read_log(tmp_path / name)


def test_unknown_policies_and_models(tmp_path: Path) -> None:
    log = write_jsonl(tmp_path / "l.jsonl", rows_of(10))
    for name in ("thomson", "fixed:nobody"):
        with pytest.raises(InvalidInput) as caught:
            replay(log, [name], embedder="none", progress=False)
        assert caught.value.field == "policy"


def test_a_warm_start_is_evidence_in_the_database(database: Path, tmp_path: Path) -> None:
    db = tmp_path / "new.db"
    environ = {"BANDIT_ROUTER_EMBEDDER_NAME": "none"}
    arguments = ["warm-start", str(database), "--db", str(db), "--json"]
    result = CliRunner().invoke(main, arguments, env=environ)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"decisions": 540, "models_added": 2}
    with EventStore.open(db, readonly=True) as store:
        arms = {arm.model: arm for arm in restore(store).arms()}
    assert sum(arm.evidence for arm in arms.values()) == 540
    assert arms["good"].quality == pytest.approx(0.8, abs=0.12)
    again = CliRunner().invoke(main, arguments, env=environ)  # more of the same, on top
    assert json.loads(again.stdout)["models_added"] == 0
    row = read_log(db)[0]
    assert row.propensity is not None
    assert row.chances is None  # those of the log's own policy nobody wrote down
    assert CliRunner().invoke(main, ["verify", "--db", str(db)]).exit_code == 0


def test_a_warm_start_lets_nobody_choose_what_is_not_of_the_fleet(tmp_path: Path) -> None:
    log, db = write_jsonl(tmp_path / "l.jsonl", rows_of(30)), tmp_path / "new.db"
    config = parse_config({"embedder": {"name": "static"}, "models": [{"name": "good"}]})
    assert warm_start(log, db, config, progress=False) == {"decisions": 30, "models_added": 1}
    assert warm_start(log, db, config, progress=False)["models_added"] == 0  # once more
    with EventStore.open(db, readonly=True) as store:
        assert verify(store).agrees
        router = restore(store)
    assert {name: model.available for name, model in router.models.items()} == {
        "good": True,
        "bad": False,
    }
    assert min(arm.evidence for arm in router.arms()) > 0
    assert [c.model for c in router.decide("more of the same").candidates] == ["good"]


def test_a_held_database_is_left_alone(database: Path, tmp_path: Path) -> None:
    db = tmp_path / "held.db"
    with EventStore.open(db):
        result = CliRunner().invoke(main, ["warm-start", str(database), "--db", str(db)])
    assert result.exit_code == 1
    assert "held" in result.stderr or "writes" in result.stderr
