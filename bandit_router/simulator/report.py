"""What `simulate --out DIR` writes: one page that needs no network, figures, and the raw JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import InvalidInput
from .hindsight import HINDSIGHT
from .summary import t_interval

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bandit-router: simulation</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd;
  font-variant-numeric: tabular-nums; white-space: nowrap }
td:first-child, th:first-child, td:last-child, th:last-child { text-align: left }
figure { margin: 1.6rem 0 } figcaption { color: #555; font-size: .9rem }
img { max-width: 100%; height: auto }
</style></head><body>
<h1>Simulation</h1>
"""

_CAPTIONS = {
    "learning": "Higher is better. A band holds the mean over seeds with 95 % confidence; the "
    "dashed lines know every outcome beforehand.",
    "regret": "Lower is better; a flat line loses nothing any more. Below zero a policy earns "
    "more than the best model of each task label.",
    "shares": "Where the traffic went. A policy that has learnt shows one or few bands; one that "
    "follows context keeps several.",
    "frontier": "Up and to the left is better. Grey dots always use one model; the dotted line is "
    "the best that a lottery over models can reach without looking at the prompt.",
    "regions": "Left: what an all-knowing observer sees. Right: what the policy did with what "
    "it was told. A ring marks the best model of a region.",
}


def check_folder(folder: Path) -> None:
    """Make the folder of a report, so that what is in the way is told before hours of work.

    Raises
    ------
    InvalidInput
        If matplotlib is not installed.
    OSError
        If the folder cannot be made.
    """
    if find_spec("matplotlib") is None:
        raise InvalidInput("figures need matplotlib: pip install 'bandit-router[simulator]'", "out")
    folder.mkdir(parents=True, exist_ok=True)


def write_report(result: dict[str, Any], folder: Path, command: str = "") -> list[str]:
    """Write page, figures and JSON; return the names of the files.

    Parameters
    ----------
    result
        What `simulate` returned, with frontiers if `frontier.sweep` added them.
    folder
        Made if it is not there; files of the same names are replaced.
    command
        Shown on the page, for whoever wants to run it again.

    Raises
    ------
    InvalidInput, OSError
        See `check_folder`.
    """
    check_folder(folder)
    from . import plots

    written = ["result.json", "report.html"]
    (folder / "result.json").write_text(json.dumps(result, allow_nan=False, indent=1) + "\n")
    body = [_HEAD, f"<p><code>{escape(command)}</code></p>" if command else ""]
    if result.get("interrupted"):
        body.append("<p><strong>Interrupted: only finished runs are counted.</strong></p>")
    for number, table in enumerate(result["tables"], start=1):
        body += _section(table)
        if not table["policies"]:  # an interrupt before any run was finished
            continue
        for kind, caption, figure in _figures(table, plots):
            stem = f"{number}-{_file_name(table['table'])}-{_file_name(kind)}"
            plots.save(figure, folder / stem)
            written += [f"{stem}.png", f"{stem}.svg"]
            image = base64.b64encode((folder / f"{stem}.svg").read_bytes()).decode()
            body.append(
                f'<figure><img alt="{escape(kind)}" src="data:image/svg+xml;base64,{image}">'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
    body.append("<p>The numbers behind it are in <code>result.json</code>.</p></body></html>")
    (folder / "report.html").write_text("\n".join(body), encoding="utf-8")
    return written


def _figures(table: dict[str, Any], plots: Any) -> Iterator[tuple[str, str, Any]]:
    yield "learning", _CAPTIONS["learning"], plots.learning_curves(table)
    yield "regret", _CAPTIONS["regret"], plots.regret(table)
    yield "shares", _CAPTIONS["shares"], plots.arm_shares(table)
    if "frontier" in table:
        yield "frontier", _CAPTIONS["frontier"], plots.frontier(table)
    for name, found in table["policies"].items():
        if found.get("clusters"):
            yield f"regions-{name}", _CAPTIONS["regions"], plots.regions(table, name)


def _section(table: dict[str, Any]) -> list[str]:
    setting = (
        f"{table['prompts']:,} prompts, {len(table['models'])} models, {table['steps']:,} steps, "
        f"{table['seeds']} seeds, cost weight {table['cost_weight']:g}, {table['scenario']}, "
        f"{table['embedder']}"
    )
    ranked = sorted(table["policies"].items(), key=lambda item: -item[1]["utility"])
    head = ("policy", "utility", "95 % interval", "last quarter", "quality", "cost USD", "regret")
    rows = []
    for name, found in ranked:
        low, high = found["utility_ci"]
        cells = (
            escape(name) + (" <small>(hindsight)</small>" if name in HINDSIGHT else ""),
            f"{found['utility']:.4f}",
            "" if low is None else f"{low:.4f} to {high:.4f}",
            f"{found['utility_by_quarter'][3]:.4f}",
            f"{found['quality']:.4f}",
            f"{found['cost_usd']:.3g}",
            f"{found['regret_task_oracle']:.4f}",
        )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return [
        f"<h2>{escape(table['table'])}</h2><p>{escape(setting)}.</p>",
        f"<p>{escape(summary_sentence(table))}</p>",
        "<table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>",
        *rows,
        "</table>",
    ]


def summary_sentence(table: dict[str, Any]) -> str:
    """Return how the best policy compares with the next, seed by seed."""
    live = {n: p for n, p in table["policies"].items() if n not in HINDSIGHT}
    ranked = sorted(live, key=lambda name: -live[name]["utility"])
    if len(ranked) < 2:
        return ""
    first, second = (np.array(live[name]["utility_by_seed"]) for name in ranked[:2])
    seeds = min(len(first), len(second))
    gap = first[:seeds] - second[:seeds]
    low, high = t_interval(gap)
    said = f"{ranked[0]} earns most, {gap.mean():+.4f} over {ranked[1]}"
    if low is None or high is None:
        return f"{said}: one seed, which proves nothing."
    sure = "" if low > 0 else ": within the luck of these seeds"
    return f"{said} (95 % over the same seeds: {low:+.4f} to {high:+.4f}){sure}."


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)
