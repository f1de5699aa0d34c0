// A cluster in words and small charts: the hover card, its page, the table, where a prompt would go.

import { lines, bars, whisker } from "./charts.js";
import { el, swatch } from "./dom.js";
import { ago, interval, milliseconds, percent, perThousand, signed, spread, utility, whole } from "./numbers.js";

const d3 = globalThis.d3;
const SHOWN = 4;

export function title(cluster) {
  const { id, label } = cluster;
  return label ? `${label[0].toUpperCase()}${label.slice(1)} · cluster ${id}` : `Cluster ${id}`;
}

// Its share of the newest half of the window less that of the older half, in points.
function trend(cluster) { return signed(100 * (cluster.drift?.trend ?? 0), 1); }

function facts(cluster) {
  const { drift } = cluster;
  const list = el("div", { class: "facts" });
  const add = (name, value) => list.append(el("span", {}, `${name} `, el("b", {}, value)));
  add("traffic", `${percent(cluster.share, 1)} (${whole(cluster.weight)})`);
  add("feedback", whole(cluster.evidence));
  if (cluster.judged) add("certainty", percent(cluster.judged.certainty));
  if (drift) add("trend", `${trend(cluster)} points`);
  if (drift?.n >= 5) add("drift", signed(drift.surprise));
  return list;
}

// Each model is a row of its name and a row of its numbers: names are long, places narrow.
function arms(cluster, state, most) {
  const head = ["Quality", "95 %", "", "per 1k", "Latency", "Seen"];
  const shown = (cluster.judged?.ranked ?? []).slice(0, most);
  const span = [d3.min(shown, (a) => a.quality_interval[0]), d3.max(shown, (a) => a.quality_interval[1])];
  const table = el("table", { class: "arms" }, el("thead", {}, el("tr", {}, ...head.map((h, i) => el(h ? "th" : "td", { scope: h ? "col" : null, class: i > 2 ? "number" : null }, h)))));
  for (const arm of shown) {
    const colour = state.colour(arm.model);
    table.append(el("tbody", {},
      named(arm.model, 6, state),
      el("tr", {},
        el("td", { "data-quality": arm.quality }, arm.quality.toFixed(3)),
        el("td", {}, interval(arm)),
        el("td", {}, whisker(arm.quality_interval, arm.quality, span, colour)),
        maybe(arm.cost_usd, perThousand),
        maybe(arm.latency_ms, milliseconds),
        el("td", { class: "number" }, arm.evidence.toFixed(arm.evidence < 10 ? 1 : 0)))));
  }
  return table;
}

function named(model, columns, state) {
  return el("tr", {}, el("th", { scope: "rowgroup", colspan: columns }, el("span", { class: "model" }, swatch(state.colour(model)), model)));
}

// A dash takes less room than the word.
function maybe(value, format) {
  return value === null ? el("td", { class: "number", title: "unknown" }, el("span", { "aria-hidden": "true" }, "–"), el("span", { class: "hidden" }, "unknown")) : el("td", { class: "number" }, format(value));
}

export function card(cluster, state) {
  const out = [el("div", { class: "title" }, title(cluster)), facts(cluster), arms(cluster, state, SHOWN)];
  const more = (cluster.judged?.ranked.length ?? 0) - SHOWN;
  if (more > 0) out.push(el("p", { class: "note" }, `and ${more} more; click for all`));
  for (const text of cluster.examples.slice(0, 2)) out.push(el("p", { class: "quote" }, text));
  return out;
}

export function spoken(cluster, terms) {
  const best = cluster.judged?.best;
  if (!best) return title(cluster);
  return `${title(cluster)}: ${best.model} wins, quality ${best.quality.toFixed(2)}, between ${interval(best)}, ` +
    `cost ${perThousand(best.cost_usd)} a thousand calls, utility ${utility(best, terms).toFixed(2)}, certainty ${percent(cluster.judged.certainty)}, ${percent(cluster.share, 1)} of traffic`;
}

export function panel(cluster, state, close) {
  const out = [
    el("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "✕"),
    el("h2", { tabindex: "-1" }, title(cluster)), facts(cluster), arms(cluster, state, 99)];
  if (cluster.judged) {
    out.push(el("p", { class: "note" }, `At cost weight ${state.terms.costWeight.toFixed(2)} the winner may lose at most ${cluster.judged.bound.toFixed(3)} against any one other model (95 %).`));
  }
  if (cluster.examples.length) out.push(el("h3", {}, "Prompts of this region"), ...cluster.examples.map((text) => el("p", { class: "quote" }, text)));
  return out;
}

// The past of a cluster, when it has been fetched.
export function past(cluster, story, state) {
  const out = [];
  const curves = Object.entries(story.curves).map(([name, rows]) => ({ name, colour: state.colour(name), points: running(rows) }));
  const { times } = story;
  if (times.length > 1) {
    const count = 40, [from, to] = d3.extent(times), bins = new Array(count).fill(0);
    for (const t of times) bins[Math.min(count - 1, Math.floor(count * (t - from) / (to - from || 1)))]++;
    out.push(el("h3", {}, `Prompts over time (${whole(times.length)} lately)`), bars(bins, { label: `Prompts of cluster ${cluster.id} over time`, colour: "var(--accent)", from, to, width: 300 }));
  }
  if (curves.length) {
    const low = Math.floor(10 * d3.min(curves, (c) => d3.min(c.points, (p) => p[1]))) / 10;
    out.push(el("h3", {}, "Quality observed of each model, running mean"), lines(curves, { label: `Running mean of the rewards of each model in cluster ${cluster.id}`, format: (v) => v.toFixed(1), domain: [low, 1], width: 300, height: 150 }));
  }
  if (story.newest.length) {
    out.push(el("h3", {}, "Newest decisions"), el("ul", { class: "events" }, ...story.newest.map((d) =>
      el("li", {}, swatch(state.colour(d.model)), " ", el("b", {}, d.model), ` at p = ${d.propensity.toFixed(2)}, `,
        d.reward === null ? "no feedback yet" : `reward ${d.reward.toFixed(2)}`, `, ${ago(d.time)}`,
        d.prompt ? el("span", { class: "quote" }, d.prompt) : null))));
  }
  if (story.lineage.length) {
    out.push(el("h3", {}, "Lineage"), el("ul", { class: "events" }, ...story.lineage.slice(-30).reverse().map((e) => el("li", {}, fate(e, cluster.id), `, ${ago(e.time)}`))));
  }
  return out;
}

function fate(e, id) {
  const other = e.other ? `cluster ${e.other}` : "the whole map";
  const what = { born: `born in ${other}`, merged: `merged into ${other}`, faded: `faded into ${other}`, split: `split from ${other}`, moved: `moved into ${other}`, drifted: "changed its share" }[e.what];
  return `${e.cluster === id ? "" : `Cluster ${e.cluster} `}${what} (${e.cause})`;
}

// An exponential mean over about 20 feedbacks; starts as a plain mean.
function running(rows) {
  let mean = 0;
  return rows.map(([time, reward], i) => {
    mean += (reward - mean) / Math.min(i + 1, 20);
    return [time, mean];
  });
}

export function whereTo(found, cluster, state) {
  const worth = (c) => c.expected.quality === null ? null : utility({ ...c.expected }, state.terms);
  const rows = [...found.candidates].sort((a, b) => b.propensity - a.propensity);
  const table = el("table", { class: "arms" }, el("thead", {}, el("tr", {}, ...["Chance", "Quality", "per 1k", "Utility"].map((h) => el("th", { scope: "col", class: "number" }, h)))));
  table.append(...rows.map((c) => el("tbody", {}, named(c.model, 4, state), el("tr", {},
    el("td", { class: "number" }, percent(c.propensity, c.propensity < 0.1 ? 1 : 0)),
    maybe(c.expected.quality, (v) => v.toFixed(3)), maybe(c.expected.cost_usd, perThousand), maybe(worth(c), (v) => v.toFixed(3))))));
  const lead = rows[0], levels = ["in all", ...lead.support.slice(2).map(() => "in its region"), "around here"].slice(0, lead.support.length);
  return [
    el("h2", { tabindex: "-1" }, `It would go to ${found.model}`),
    el("p", {}, cluster ? `It lands in ${title(cluster)}.` : "No cluster holds it: it would open a new one, where the pin is."),
    table,
    el("p", { class: "note" }, `Why: each model is drawn as often as it is probably the best here. ${lead.model} has shown itself in ${lead.support.map((s, i) => `${whole(s)} feedbacks ${levels[i]}`).join(", ")}. ` +
      `Utility is quality less ${state.terms.costWeight.toFixed(2)} × cost / ${perThousand(state.terms.reference)} a thousand. Nothing was routed or learnt by asking.`)];
}

const COLUMNS = [
  ["Cluster", (c) => c.id], ["Topic", (c) => c.label || ""], ["Traffic", (c) => c.share], ["Wins", (c) => c.judged?.best.model ?? ""],
  ["Quality", (c) => c.judged?.best.quality ?? -1], ["95 % interval", (c) => c.judged ? spread(c.judged.best) : 9], ["Certainty", (c) => c.judged?.certainty ?? -1],
  ["Cost of 1k calls", (c) => c.judged?.best.cost_usd ?? -1], ["Latency", (c) => c.judged?.best.latency_ms ?? -1], ["Feedback", (c) => c.evidence], ["Trend", (c) => c.drift?.trend ?? 0], ["Regret bound", (c) => c.judged?.bound ?? -1]];
let order = { column: 2, down: true };

export function table(clusters, state, open, again) {
  const value = COLUMNS[order.column][1];
  const rows = [...clusters].sort((a, b) => (order.down ? d3.descending : d3.ascending)(value(a), value(b)));
  const head = COLUMNS.map(([name], i) => el("th", { scope: "col", "aria-sort": i === order.column ? (order.down ? "descending" : "ascending") : null },
    el("button", { type: "button", onclick: () => { order = { column: i, down: i === order.column ? !order.down : i !== 1 && i !== 3 }; again(); } }, name)));
  return el("table", { class: "wide" }, el("caption", { class: "hidden" }, "Every cluster, its winner and what is believed of it"),
    el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows.map((c) => {
      const best = c.judged?.best;
      const cells = best ? [best.model, best.quality.toFixed(3), interval(best), percent(c.judged.certainty), perThousand(best.cost_usd), milliseconds(best.latency_ms), whole(c.evidence), trend(c), c.judged.bound.toFixed(3)] : [];
      return el("tr", {},
        el("td", {}, el("button", { type: "button", onclick: () => open(c.id), "aria-label": `Open cluster ${c.id}` }, String(c.id))),
        el("td", { class: "free" }, c.label || ""), el("td", {}, percent(c.share, 1)),
        ...cells.map((cell, i) => i ? el("td", {}, cell) : el("td", { class: "free" }, el("span", { class: "model" }, swatch(state.colour(cell)), cell))));
    })));
}
