"""What `replay` found, for a person: a table, what it can bear, and an answer."""

from __future__ import annotations

from typing import Any

_ANSWER = {
    "yes": "Routing is worth it on this log",
    "no": "Routing is not worth it on this log",
    "unclear": "This log cannot tell whether routing is worth it",
}


def text(found: dict[str, Any]) -> str:
    """Return the result of `replay` in plain words and a table."""
    log = found["log"]
    lines = [f"{log['decisions']:,} decisions, {log['with_feedback']:,} with feedback."]
    lines += [*log["notes"], *_how(log), "", *_table(found["policies"]), ""]
    lines += [f"{name}: {p['overlap']['says']}" for name, p in found["policies"].items()]
    if log["ess_warning"]:
        lines += [
            "",
            "Figures without enough overlap or propensities are a hint only.",
        ]
    return "\n".join([*lines, "", *_verdict(found["worth_it"])])


def _how(log: dict[str, Any]) -> list[str]:
    said = []
    if log["cost_weight"]:
        said.append(f"values are reward - {log['cost_weight']:g} x cost / reference cost")
    if log["clip"] != "none":
        said.append(f"weights clipped: {log['clip']}")
    if log["interval"] != "normal":
        said.append(f"intervals: {log['interval']}")
    if log["reward_model"] == "means":
        said.append("the model of the rewards: each model's mean so far")
    return ["; ".join(said).capitalize() + "."] if said else []


def _table(policies: dict[str, Any]) -> list[str]:
    width = max(24, *(len(name) + 1 for name in policies))
    lines = [
        f"{'policy':{width}} {'estimator':>9} {'value':>8}  {'95 % interval':>18} {'ESS':>9}"
        f"  {'cost USD':>10}"
    ]
    for name, policy in policies.items():
        empty = policy["overlap"]["verdict"] == "none"
        cost = "" if policy["cost_usd"] is None else _short(policy["cost_usd"]["value"])
        for kind, e in policy["estimators"].items():
            value, bounds = _fixed(e["value"]), _bounds(e["ci"])
            if empty and kind != "dm":
                value, bounds, cost = "-", "no promise", ""
            ess = f"{e['ess']:9,.0f}" if kind != "dm" else f"{'a model':>9}"
            lines.append(f"{name:{width}} {kind:>9} {value:>8}  {bounds:>18} {ess}  {cost:>10}")
            name = cost = ""
    return lines


def _verdict(worth: dict[str, Any]) -> list[str]:
    policy, constant = worth["policy"], worth["best_constant"]
    gain = f"{policy} gains {worth['gain']:+.4f} over always {constant}{_95(worth['ci'])}"
    lines = [f"{_ANSWER[worth['verdict']]}: {gain}."]
    mix = worth["best_mix"]
    if mix is not None:
        parts = " + ".join(f"{share:.0%} {model}" for model, share in mix["weights"].items())
        lines += [
            f"{policy} costs ${_short(worth['cost_usd'])} a request, always {constant} "
            f"${_short(worth['best_constant_cost_usd'])}.",
            f"The best mix without context at no higher cost ({parts}) would earn "
            f"{mix['value']:.4f}: {policy} gains {mix['gain']:+.4f} over it{_95(mix['ci'])}.",
        ]
    return lines


def _95(bounds: list[float | None]) -> str:
    low, high = bounds
    return "" if low is None or high is None else f" (95 %: {low:+.4f} to {high:+.4f})"


def _bounds(ci: list[float | None]) -> str:
    low, high = ci
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def _fixed(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
