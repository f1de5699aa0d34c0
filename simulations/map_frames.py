"""How fluently the map pans with 2,000 clusters, in headless Chromium's own measure.

    python -m simulations.map_frames [--clusters 2000] [--seconds 4]

Grows a map of synthetic topics, saves it as a page, drags it to and fro with the mouse and counts
the frames that the browser gives, and the processor time of its main thread for each, which other
work on the machine does not change. Needs chromium (`apt-get install chromium`) and playwright.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from playwright.sync_api import CDPSession, Page, sync_playwright

from bandit_router import Router
from bandit_router.config import ClustererSettings, Settings
from bandit_router.service.page import saved
from bandit_router.store import EventStore

DRAG = """(seconds) => new Promise((resolve) => {
  const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
  const at = (step) => ({
    view: window, bubbles: true, buttons: 1,
    clientX: box.left + box.width / 2 + 200 * Math.sin(step / 9),
    clientY: box.top + box.height / 2 + 120 * Math.cos(step / 7),
  });
  const stamps = [];
  canvas.dispatchEvent(new MouseEvent("mousedown", at(0)));
  const tick = (now) => {
    stamps.push(now);
    window.dispatchEvent(new MouseEvent("mousemove", at(stamps.length)));
    if (now - stamps[0] < 1000 * seconds) requestAnimationFrame(tick);
    else { window.dispatchEvent(new MouseEvent("mouseup", at(0))); resolve(stamps); }
  };
  requestAnimationFrame(tick);
})"""


def grown(folder: Path, clusters: int) -> str:
    """Return the page of a map of about so many clusters."""
    clusterer = ClustererSettings(max_clusters=max(2, clusters), resolutions=(1.1, 0.4))
    router = Router(
        ["small", "middle", "large"],
        settings=msgspec.structs.replace(Settings(), clusterer=clusterer),
        embedder="none",
    )
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(60, 24))
    events, lineage = [router.initial], []
    while len(events) % 50 or sum(p.level for p in router.policy.map.places()) < clusters:
        vector = topics[rng.integers(60)] + 0.6 * rng.normal(size=24)
        decision = router.decide(vector=vector)
        events.append(decision)
        lineage += router.apply(decision)
        if len(events) > 20 * clusters:
            break
    with EventStore.open(folder / "map.db") as store:
        store.append(events, lineage)
        return saved.page(router, store)


def panned(page: Page, seconds: float) -> dict[str, float]:
    """Drag the map to and fro, anew at every frame; return frames a second and the waits."""
    before = page.evaluate("document.getElementById('canvas').__zoom.x")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    busy = -_busy_seconds(session)
    waits = np.diff(page.evaluate(DRAG, seconds))
    busy += _busy_seconds(session)
    assert page.evaluate("document.getElementById('canvas').__zoom.x") != before  # it has moved
    return {
        "frames_per_second": round(1000.0 / float(waits.mean()), 1),
        "wait_p95_ms": round(float(np.quantile(waits, 0.95)), 1),
        "cpu_ms_a_frame": round(1000.0 * busy / len(waits), 1),
    }


def _busy_seconds(session: CDPSession) -> float:
    found = session.send("Performance.getMetrics")["metrics"]
    return next(float(m["value"]) for m in found if m["name"] == "TaskDuration")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clusters", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        file = Path(folder) / "map.html"
        file.write_text(grown(Path(folder), options.clusters), encoding="utf-8")
        print("the map is grown", file=sys.stderr)
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        page.wait_for_timeout(1500)
        found = panned(page, options.seconds)
        text = page.inner_text("#totals")
        browser.close()
    print(json.dumps({"page": text, **found}))


if __name__ == "__main__":
    main()
