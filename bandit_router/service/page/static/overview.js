// The overview: what was observed lately, what it cost, and the few levers that there are.

import { admin } from "./admin.js";
import { get, listen } from "./api.js";
import { areas, bars, lines } from "./charts.js";
import { $, el, isDark, swatch, tableOf } from "./dom.js";
import { ago, colourOf, milliseconds, money, percent, perThousand, signed, whole } from "./numbers.js";

const REFRESH_MS = 5000;
let models = [], dirty = false, next = 0, live = true;

const colour = (name) => colourOf(Math.max(0, models.indexOf(name)), isDark());

async function refresh() {
  dirty = false;
  const start = performance.now();
  try {
    const found = await get("/map/data/overview");
    models = [...new Set([...models, ...found.order])];
    show(found);
  } catch (error) { $("totals").textContent = `The service does not answer: ${error.message}`; }
  next = performance.now() + Math.min(20_000, Math.max(REFRESH_MS, 15 * (performance.now() - start)));
  document.body.dataset.ready = "yes";
}

function show(found) {
  const { buckets, window: span } = found;
  totals(found.totals);
  figures(found);
  const chart = (id, node) => $(id).replaceChildren(buckets.length ? node : el("p", { class: "note" }, "No prompt has come yet."));
  const from = span.from ?? 0, to = span.to ?? 1;
  chart("traffic", bars(buckets.map((b) => b.decisions), { label: "Prompts over time", height: 170, colour: "var(--accent)", from, to }));
  const rows = buckets.map((b) => ({ time: b.time, values: b.models }));
  const names = models.filter((m) => buckets.some((b) => b.models[m]));
  chart("share", areas(rows, names, names.map(colour), { label: "Share of each model over time", share: true, format: (v) => percent(v) }));
  $("share-keys").replaceChildren(...names.map((m) => el("li", {}, swatch(colour(m)), `${m} ${percent(found.shares[m] ?? 0)}`)));
  const spends = spend(found);
  chart("spend", lines(spends, { label: "Spend added up over time, US dollars", format: money }));
  $("spend-keys").replaceChildren(...(buckets.length ? spends.map((s) => el("li", {}, swatch(s.colour), s.name)) : []));
  $("spend-note").textContent = budget(found);
  const sources = found.sources.map((s) => s.source);
  chart("quality", lines(sources.map((s, i) => ({ name: s, colour: colourOf(i, isDark()), points: buckets.filter((b) => s in b.quality).map((b) => [b.time, b.quality[s]]) })), { label: "Mean reward of each source over time", domain: [0, 1], format: (v) => v.toFixed(1) }));
  $("quality-keys").replaceChildren(...found.sources.map((s, i) => el("li", {}, swatch(colourOf(i, isDark())), `${s.source}: mean ${s.quality.toFixed(3)} over ${whole(s.feedback)}, reliability ${s.reliability.toFixed(2)}`)));
  chart("explore", lines([{ name: "explored", colour: "var(--accent)", points: buckets.filter((b) => b.decisions).map((b) => [b.time, b.explored / b.decisions]) }], { label: "Exploration rate over time", format: (v) => percent(v) }));
  $("alarms").replaceChildren(...(found.alarms.length ? found.alarms.slice(0, 12).map((a) => el("li", {}, el("b", {}, a.subject), `: ${a.detail}, ${ago(a.time)}`)) : [el("li", {}, "None: no model and no region has moved further than chance explains.")]));
  $("seen").replaceChildren(tableOf("What was observed of each model", ["Model", "Prompts", "Mean reward", "Cost of 1k calls", "Errors"], found.models.map((m) => [named(m.model), whole(m.decisions), m.quality === null ? "unknown" : m.quality.toFixed(3), perThousand(m.cost_usd), whole(m.errors)])));
  $("providers").replaceChildren(found.providers.length
    ? tableOf("Endpoints and how they have done", ["Model", "Endpoint", "Circuit", "Latency", "Calls"], found.providers.map((p) => [named(p.model), p.endpoint, el("span", { class: p.state === "closed" ? "good" : "bad" }, p.state), p.latency_s === null ? "unknown" : milliseconds(1000 * p.latency_s), Object.entries(p.calls).map(([k, n]) => `${k} ${n}`).join(", ") || "none yet"]))
    : el("p", { class: "note" }, "No model has an endpoint: this service routes, it does not serve."));
}

function named(model) { return el("span", { class: "model" }, swatch(colour(model)), model); }

function totals(sums) {
  $("totals").replaceChildren(el("strong", { id: "decisions" }, whole(sums.decision ?? 0)), " prompts · ", el("strong", {}, whole(sums.feedback ?? 0)), " feedback · ", el("span", { class: live ? "live" : "live cut" }, live ? "live" : "connection lost"));
}

// What was spent, what the best single model would have cost on top or less, what was allowed.
function spend({ buckets, saved, budget: { usd_per_request: ceiling } }) {
  let sum = 0, count = 0;
  const spent = buckets.map((b) => [b.time, sum += b.cost_usd]);
  const out = [{ name: "spent", colour: "var(--ink)", points: spent }];
  if (saved) {
    const beyond = (i) => spent.map(([t, s], at) => [t, ...saved.curve[at].slice(...i).map((v) => Math.max(0, s + v))]);
    out.unshift({ name: `always ${saved.constant}, estimated, 95 %`, colour: colour(saved.constant), points: beyond([0, 1]), band: beyond([1]), dashed: true });
  }
  if (ceiling) out.push({ name: `ceiling, ${money(ceiling)} a prompt`, colour: "var(--bad)", points: buckets.map((b) => [b.time, ceiling * (count += b.decisions)]), dashed: true });
  return out;
}

function figures(found) {
  const { saved, spend } = found;
  const pair = ([low, high], format) => `95 %: ${format(low)} to ${format(high)}`;
  const rows = [
    ["Prompts in the window", whole(found.window.decisions), found.window.from ? `since ${ago(found.window.from)}` : ""],
    ["Spend in the window", money(spend.usd), `billed on ${whole(spend.billed)} of them`],
    saved
      ? ["Saved so far in the window", money(saved.usd), `${pair(saved.usd_ci, money)}, against always ${saved.constant}`]
      : ["Saved so far in the window", "not known", "needs costs, rewards and enough overlap"],
    saved && ["Quality against that model", signed(saved.quality_gain, 3), pair(saved.quality_gain_ci, (v) => signed(v, 3))],
    ["Exploration", found.explored === null ? "none yet" : percent(found.explored, 1), `strategy ${found.strategy}`],
    ["Cost weight now", found.cost_weight.toFixed(2), `reference ${money(found.reference_cost_usd)} a call`],
  ];
  $("figures").replaceChildren(...rows.filter(Boolean).map(([name, value, small]) => el("div", {}, el("dt", {}, name), el("dd", {}, value, el("small", {}, small)))));
  $("saved-how").textContent = saved ? `Saved: a doubly robust off-policy estimate of what always ${saved.constant} would have cost on the same ${whole(saved.decisions)} prompts, less what was spent; effective sample ${whole(saved.ess)}. That model is the best constant choice by estimated utility. An interval that holds zero says that nothing is proved yet.` : "";
}

function budget(found) {
  const { usd_per_request, usd_per_day } = found.budget, { spend } = found;
  const said = [];
  if (usd_per_day) said.push(`Today ${money(spend.today_usd)} of ${money(usd_per_day)} (${percent(spend.today_usd / usd_per_day)}).`);
  if (usd_per_request && spend.billed) said.push(`${money(spend.usd / spend.billed)} a prompt, ceiling ${money(usd_per_request)}.`);
  return said.join(" ") || "No budget is set: [budget] in the configuration sets one.";
}

listen({
  hello: (m) => { dirty = true; totals(m.totals); },
  tick: (m) => { dirty = true; totals(m.totals); },
}, (connected) => { live = connected; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);

addEventListener("key", () => refresh().then(() => admin(named)));

await refresh();
await admin(named);
setInterval(() => { if (dirty && performance.now() >= next && !document.hidden) refresh(); }, 500);
