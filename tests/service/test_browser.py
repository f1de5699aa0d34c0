"""The pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bandit_router.service.demo import DemoFleet
from bandit_router.service.keys import ENGINE, WATCH

from .conftest import config
from .test_demo import Recorded

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")

expect = playwright.expect

AXE = Path(__file__).parent / "vendored" / "axe.min.js"
PRICES = {"small": 0.001, "vendor/large v2": 0.01}
REWARDS = {"small": 0.7, "vendor/large v2": 0.9}
TOPICS = (
    "sort a python list of numbers quickly",
    "boil an egg softly for breakfast today",
    "prove a geometry theorem about circles",
    "translate this letter into formal french",
)
HOSTILE = "<img src=x onerror=alert(1)> boil an egg softly for breakfast today"


async def traffic(client, n, text=None):
    for i in range(n):
        asked = {"prompt": text or f"{TOPICS[i % 4]} {i % 3}"}
        found = await (await client.post("/route", json=asked)).json()
        model = found["model"]
        said = {"reward": REWARDS[model], "cost_usd": PRICES[model], "latency_ms": 200}
        await client.post("/feedback", json={"decision_id": found["decision_id"], **said})


@asynccontextmanager
async def opened(client, *paths, width=1280, height=800, **options):
    """Pages of the service; at the end nothing may have gone wrong or left the host."""
    errors, elsewhere = [], []
    home = str(client.make_url("/"))
    async with playwright.async_playwright() as p:
        browser = await p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = {"width": width, "height": height}
        context = await browser.new_context(viewport=view, **options)
        context.set_default_timeout(20_000)
        pages = []
        for path in paths:
            page = await context.new_page()
            page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda e: errors.append(str(e)))
            page.on("request", lambda r: elsewhere.append(r.url) if home not in r.url else None)
            await page.goto(str(client.make_url(path)))
            await page.wait_for_selector("body[data-ready]")
            pages.append(page)
        yield pages if len(pages) > 1 else pages[0]
        await browser.close()
    assert not errors
    assert not elsewhere


@pytest.fixture
async def busy(start):
    client = await start(config(clusterer={"names": True}, store={"keep_prompts": True}))
    await traffic(client, 48)
    return client


async def finest(client):
    found = (await (await client.get("/clusters")).json())["clusters"]
    deepest = max(c["level"] for c in found)
    return {c["id"]: c for c in found if c["level"] == deepest}


async def test_it_shows_the_numbers_of_the_api(busy):
    clusters = await finest(busy)
    async with opened(busy, "/map") as page:
        totals = await page.inner_text("#totals")
        assert "48 prompts" in totals
        assert f"{len(clusters)} clusters" in totals
        legend = await page.inner_text("#legend")
        assert "small" in legend
        assert "vendor/large v2" in legend
        assert "%" in legend

        await page.focus("#canvas")
        await page.keyboard.press("ArrowRight")  # the largest
        await expect(page.locator("#card")).to_be_visible()
        id_ = int(await page.locator("#card").get_attribute("data-id"))
        cells = await page.locator("#card td[data-quality]").evaluate_all(
            "cells => cells.map(c => Number(c.dataset.quality))"
        )
        assert sorted(cells) == pytest.approx(sorted(a["quality"] for a in clusters[id_]["arms"]))
        card = await page.inner_text("#card")
        for arm in clusters[id_]["arms"]:
            assert "\u2013".join(f"{v:.2f}" for v in arm["quality_interval"]) in card
        assert str(id_) in await page.inner_text("#said")

        await page.keyboard.press("Enter")
        await page.wait_for_selector("#panel h3")
        assert page.url.endswith(f"#cluster={id_}")
        await expect(page.locator("#panel")).to_contain_text("Lineage")  # its story comes later
        assert "running mean" in await page.inner_text("#panel")
        await page.click("#panel .close")

        seen = await page.evaluate(POINT_EVERYWHERE)
        assert set(seen) == set(clusters)

        await page.click("#as-table")
        rows = await page.locator("#table tbody tr").all_inner_texts()
        assert len(rows) == len(clusters)
        first = max(clusters.values(), key=lambda c: c["weight"])
        best = max(first["arms"], key=lambda a: a["quality"])
        assert best["model"] in rows[0]
        assert f"{best['quality']:.3f}" in rows[0]


POINT_EVERYWHERE = """() => {
  const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
  const seen = new Set(), card = document.getElementById("card");
  for (let x = 0; x < box.width; x += 8) for (let y = 0; y < box.height; y += 8) {
    const at = {clientX: box.left + x, clientY: box.top + y};
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
    if (!card.hidden) seen.add(Number(card.dataset.id));
  }
  return [...seen];
}"""


async def test_prices_colours_prompts_and_time_can_be_played_with(busy):
    before = busy.app[ENGINE].store.last_seq()
    async with opened(busy, "/map") as page:
        wins = "#legend li:nth-child({}) .wins"
        await page.fill("#weight", "0")
        assert "nowhere" in await page.inner_text(wins.format(1))
        assert "nowhere" not in await page.inner_text(wins.format(2))
        await page.fill("#weight", "2")
        assert "nowhere" not in await page.inner_text(wins.format(1))
        assert "nowhere" in await page.inner_text(wins.format(2))
        assert "change hands" in await page.inner_text("#repriced")
        await page.click("#own-weight")
        assert await page.inner_text("#weight-shown") == "0.00"
        for mode in ("cost", "latency", "doubt", "regret", "drift"):
            await page.select_option("#colour", mode)
            assert await page.locator("#ramp").is_visible()

        await page.fill("#prompt", "sort a python list of numbers quickly 1")
        await page.click("#where button")
        await page.wait_for_selector("#panel table")
        panel = await page.inner_text("#panel")
        assert "It would go to" in panel
        assert "It lands in" in panel
        assert "feedbacks around here" in panel
        assert "Utility" in panel
        assert busy.app[ENGINE].store.last_seq() == before

        await page.fill("#moment", "100")
        await expect(page.locator("#moment-shown")).to_contain_text("of 48")
        totals = await page.inner_text("#totals")
        assert "replay" in totals
        shown = await page.inner_text("#moment-shown")
        assert totals.split()[0] == shown.split()[0] != "48"  # the totals of that moment
        await page.fill("#moment", "48")
        await expect(page.locator("#moment-shown")).to_have_text("now")


async def test_events_arrive_births_appear_and_a_cut_is_mended(busy):
    async with opened(busy, "/map") as page:
        await traffic(busy, 4, text="compose a sonnet praising autumn leaves falling")
        await expect(page.locator("#decisions")).to_have_text("52", timeout=10_000)
        count = len(await finest(busy))
        await expect(page.locator("#totals")).to_contain_text(f"{count} clusters", timeout=30_000)
        await busy.app[WATCH].close()  # every stream ends, as when a service stops
        await expect(page.locator(".cut")).to_have_count(1)
        await expect(page.locator(".cut")).to_have_count(0, timeout=15_000)
        await traffic(busy, 1)
        await expect(page.locator("#decisions")).to_have_text("53", timeout=10_000)


async def test_what_a_user_wrote_is_text(busy):
    await traffic(busy, 4, text=HOSTILE)
    asked = await busy.post("/route", json={"prompt": HOSTILE})
    id_ = (await asked.json())["cluster"]
    async with opened(busy, f"/map#cluster={id_}") as page:
        await page.wait_for_selector("#panel .events")
        assert HOSTILE[:20] in await page.inner_text("#panel")
        assert await page.locator("#panel img").count() == 0


async def test_axe_finds_no_serious_fault(busy):
    async with opened(busy, "/map", "/map/overview") as pages:
        await pages[0].focus("#canvas")
        await pages[0].keyboard.press("ArrowRight")
        await pages[0].keyboard.press("Enter")
        await pages[0].wait_for_selector("#panel h3")
        await pages[1].wait_for_selector("#administration:not([hidden])")
        for page in pages:
            # The page's own policy forbids inline scripts: the tool comes by another way in.
            session = await page.context.new_cdp_session(page)
            await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
                grave = [
                    (v["id"], [(n["target"], n["failureSummary"]) for n in v["nodes"]])
                    for v in found["violations"]
                    if v["impact"] in ("serious", "critical")
                ]
                assert not grave


async def test_a_phone_scrolls_one_way_only(busy):
    phone = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
    async with opened(busy, "/map", "/map/overview", **phone) as pages:
        for page in pages:
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await pages[0].locator("#legend").scroll_into_view_if_needed()
        assert await pages[0].locator("#legend").is_visible()


async def test_the_demo_fills_its_own_map(start):
    fleet = DemoFleet()
    client = await start(config(), demo=True, embedder=Recorded(fleet))
    async with opened(client, "/map") as page:
        await expect(page.locator("#empty")).to_be_visible()
        assert (await page.inner_text("#legend")).count("no traffic yet") == 4
        await page.click("#samples")
        await expect(page.locator("#decisions")).not_to_have_text("0")
        await expect(page.locator("#empty")).to_be_hidden()
        await expect(page.locator("#legend")).to_contain_text("wins")


async def test_keys_are_made_shown_once_and_revoked_from_the_page(busy):
    async with opened(busy, "/map/overview") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        await expect(page.locator("#no-key")).to_be_visible()
        await page.fill("#new-key [name=name]", "ops")
        await page.click("#new-key button")  # the first: admin is ticked already
        await expect(page.locator("#made")).to_be_visible()
        ops = {"Authorization": f"Bearer {await page.input_value('#made-key')}"}
        assert (await busy.get("/keys")).status == 401
        listed = (await (await busy.get("/keys", headers=ops)).json())["keys"]
        assert [key["name"] for key in listed] == ["ops"]

        await page.click("#forget-key")
        assert await page.input_value("#made-key") == ""
        await page.fill("#new-key [name=name]", "app")
        await page.fill("#new-key [name=day]", "5")
        await page.click("#new-key button")  # the page speaks with the key that it made
        await expect(page.locator("#keys tbody tr")).to_have_count(2)
        assert "$5 a day" in await page.inner_text("#keys")
        app = {"Authorization": f"Bearer {await page.input_value('#made-key')}"}
        asked = {"prompt": "boil an egg"}
        assert (await busy.post("/route", json=asked, headers=app)).status == 200
        await page.get_by_label("Revoke the key app").click()
        await expect(page.locator("#admin-said")).to_contain_text("revoked")
        assert (await busy.post("/route", json=asked, headers=app)).status == 401
        await expect(page.locator("#keys")).to_contain_text("revoked")
