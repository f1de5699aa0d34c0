"""The map as one file: complete, silent about prompts, alive without a service."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from click.testing import CliRunner

from bandit_router.cli import main

from .conftest import config

SECRET = "sort a zanzibar list"


@pytest.fixture
async def page(start, db, tmp_path):
    client = await start(config(clusterer={"names": True}, store={"keep_prompts": True}))
    for i in range(24):
        text = f"{SECRET} {i % 5}" if i % 2 else f"</script> boil an egg {i % 5}"
        found = await (await client.post("/route", json={"prompt": text})).json()
        said = {"reward": 0.5 + 0.4 * (found["model"] == "small"), "cost_usd": 0.01}
        await client.post("/feedback", json={"decision_id": found["decision_id"], **said})
    clusters = await (await client.get("/clusters")).json()
    out = tmp_path / "map.html"
    # Beside the running service.
    done = CliRunner().invoke(main, ["export", "--db", str(db), "--map", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"written": str(out)}
    again = CliRunner().invoke(main, ["export", "--db", str(db), "--map", str(out)])
    assert again.exit_code == 1
    assert "is there already" in again.output
    return out, clusters


def saved(text):
    [data] = re.findall(r'<script type="application/json" id="saved">(.*?)</script>', text, re.S)
    return json.loads(data)["answers"]


async def test_it_holds_the_map_and_no_prompt(page):
    out, clusters = page
    text = out.read_text(encoding="utf-8")
    held = saved(text)["/clusters"]
    ours = {c["id"]: c for c in clusters["clusters"]}
    assert {c["id"] for c in held["clusters"]} == set(ours)
    for cluster in held["clusters"]:
        assert cluster["arms"] == ours[cluster["id"]]["arms"]
        assert cluster["examples"] == []
    assert SECRET not in text
    assert "boil an egg" not in text
    assert "src=" not in re.sub(r'src="data:', "", text.split("<body")[1])


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium: apt-get install chromium")
async def test_it_opens_from_the_disk_in_a_real_browser(page):
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    out, _ = page
    errors, asked = [], []
    async with playwright.async_playwright() as p:
        browser = await p.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = await browser.new_page()
        tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda e: errors.append(str(e)))
        tab.on("request", lambda r: asked.append(r.url))
        await tab.goto(out.as_uri())
        await tab.wait_for_selector("body[data-ready]")
        assert "24 prompts" in await tab.inner_text("#totals")
        assert "saved" in await tab.inner_text("#totals")
        await tab.focus("#canvas")
        await tab.keyboard.press("ArrowRight")
        await tab.keyboard.press("Enter")
        await tab.wait_for_selector("#panel h3")
        await tab.fill("#moment", "300")
        await playwright.expect(tab.locator("#moment-shown")).to_contain_text("of 24")
        await browser.close()
    assert not errors
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
