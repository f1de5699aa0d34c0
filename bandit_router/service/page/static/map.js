// The map page: fetches, judges at the chosen price, hands the scene what to draw.

import { frozen, get, listen, post } from "./api.js";
import { card, panel, past, spoken, table, title, whereTo } from "./describe.js";
import { $, el, isDark, swatch } from "./dom.js";
import { colourOf, judge, percent, shader, whole } from "./numbers.js";
import { Replay } from "./replay.js";
import { Scene } from "./scene.js";

const d3 = globalThis.d3;
const REFRESH_MS = 2500;

const state = {
  answer: null, places: null, clusters: [], byId: new Map(), models: [], shares: {}, totals: {},
  terms: { costWeight: 0, reference: 1 }, own: true, opened: null, replay: null, step: null,
  colour: (model) => { const i = state.models.indexOf(model); return i < 0 ? "#8a94a3" : colourOf(i, isDark()); },
};
let dirty = false, busy = false, next = 0, heirs = new Map();

const scene = new Scene($("canvas"), { hover, open });

// -- what there is -----------------------------------------------------------------------------

async function refresh() {
  if (busy) return;
  busy = true;
  dirty = false;
  const start = performance.now();
  try {
    const [answer, places] = await Promise.all([get("/clusters"), get("/map/data/places")]);
    Object.assign(state, { answer, places, shares: places.shares, totals: places.totals });
    state.models = [...new Set([...state.models, ...places.models, ...answer.clusters.flatMap((c) => c.arms.map((a) => a.model))])];
    state.terms.reference = answer.reference_cost_usd;
    if (state.own) price(answer.cost_weight, true);
    if (state.step === null) show();
  } catch (error) {
    $("totals").textContent = `The service does not answer: ${error.message}`;
    dirty = true;
  }
  busy = false;
  next = performance.now() + Math.min(10_000, Math.max(REFRESH_MS, 15 * (performance.now() - start)));
}

// The micro-clusters as judged at the price that is set.
function judged() {
  const regions = new Map(state.answer.clusters.map((c) => [c.id, c]));
  const finest = d3.max(state.answer.clusters, (c) => c.level) ?? 0;
  const found = state.step === null
    ? state.answer.clusters.filter((c) => c.level === finest)
    : state.replay.at(state.step).map((c) => ({ examples: [], parent: regions.get(c.id)?.parent ?? 0, evidence: d3.sum(c.arms, (a) => a.evidence), ...c }));
  const total = d3.sum(found, (c) => c.weight) || 1;
  return found.map((c) => {
    const region = regions.get(c.parent);
    return { ...c, region: c.parent || c.id, label: region?.label ?? c.label ?? null, examples: c.examples.length ? c.examples : region?.examples ?? [],
      share: c.weight / total, judged: judge(c, state.terms), drift: state.places.drift[c.id] };
  });
}

function show() {
  if (!state.answer) return;
  state.clusters = judged();
  state.byId = new Map(state.clusters.map((c) => [c.id, c]));
  const mode = $("colour").value, shade = mode === "winner" ? null : shader(mode, state.clusters, isDark());
  const at = (id) => state.step === null ? state.places.positions[id] : state.replay.position(id);
  const items = state.clusters.filter((c) => at(c.id)).map((c) => ({
    id: c.id, x: at(c.id)[0], y: at(c.id)[1], weight: c.weight, region: c.region,
    colour: shade ? shade.colour(c) : c.judged && state.colour(c.judged.best.model),
    alpha: shade ? 0.92 : c.judged ? 0.12 + 0.88 * Math.max(0, 2 * c.judged.certainty - 1) ** 0.8 : 0.15,
  }));
  scene.set(items, regionsOf(state.clusters, Boolean(shade)), heirs);
  $("empty").hidden = items.length > 0 || state.totals.decision > 0;
  legend();
  ramp(shade);
  repriced();
  totals();
  if (!$("table").hidden) drawTable();
  if (state.opened !== null) drawPanel(false);
  if (scene.hovered !== null) scene.hover(scene.hovered);
  document.body.dataset.ready = "yes";
}

function regionsOf(clusters, plain) {
  const total = d3.sum(clusters, (c) => c.weight) || 1;
  const unnamed = clusters.some((c) => c.label) ? () => "" : (c) => `Region ${c.region}`; // some have not had words enough
  return d3.rollups(clusters, (group) => {
    const weight = d3.sum(group, (c) => c.weight);
    const wins = d3.rollup(group.filter((c) => c.judged), (g) => d3.sum(g, (c) => c.weight), (c) => c.judged.best.model);
    const best = d3.greatest(wins, ([, w]) => w)?.[0];
    return { weight, share: weight / total, label: group[0].label || unnamed(group[0]), colour: !plain && best && state.colour(best) };
  }, (c) => c.region).map(([id, region]) => ({ id, ...region })).sort((a, b) => b.weight - a.weight);
}

// -- text beside the map -----------------------------------------------------------------------

// Totals and shares of the moment that is shown.
function then() { return state.step === null ? state : state.replay.sums(state.step); }

let live = frozen ? null : true;
function totals() {
  const { decision = 0, feedback = 0 } = then().totals;
  const regions = new Set(state.clusters.map((c) => c.region)).size;
  const word = frozen ? `saved ${new Date(1000 * frozen.time).toISOString().slice(0, 16).replace("T", " ")} UTC` : state.step !== null ? "replay" : live ? "live" : "connection lost";
  $("totals").replaceChildren(el("strong", { id: "decisions" }, whole(decision)), " prompts · ", el("strong", {}, whole(feedback)), " feedback · ",
    el("strong", {}, whole(state.clusters.length)), " clusters in ", el("strong", {}, whole(regions)), " regions · ", el("span", { class: frozen ? "" : live ? "live" : "live cut" }, word));
}

function legend() {
  const { shares } = then();
  const wins = d3.rollup(state.clusters.filter((c) => c.judged), (g) => [g.length, d3.sum(g, (c) => c.share)], (c) => c.judged.best.model);
  $("legend").replaceChildren(...state.models.map((model) => {
    const share = shares[model] ?? 0, [count, area] = wins.get(model) ?? [0, 0];
    const bar = el("span");
    bar.style.width = `${100 * share}%`;
    bar.style.background = state.colour(model);
    return el("li", {}, swatch(state.colour(model)), el("span", { class: "name" }, model), el("span", { class: "share", title: "of the newest 1,000 prompts" }, percent(share)),
      el("span", { class: "bar", "aria-hidden": "true" }, bar),
      el("span", { class: "wins" }, count ? `wins ${count} cluster${count === 1 ? "" : "s"}, ${percent(area)} of traffic` : state.clusters.length ? "wins nowhere at this price" : "no traffic yet"));
  }));
  const { trustworthiness, method } = state.places;
  const faith = trustworthiness === null ? "" : ` Trustworthiness ${trustworthiness.toFixed(2)} of 1: how far neighbours here are neighbours in meaning.`;
  $("method").textContent = `Drawn by ${method}.${faith} The axes have no units.`;
}

function ramp(shade) {
  $("ramp").hidden = !shade;
  if (!shade) return;
  const c = $("ramp-bar").getContext("2d");
  for (let i = 0; i < 256; i++) { c.fillStyle = shade.ramp(i / 255); c.fillRect(i, 0, 1, 10); }
  $("ramp-low").textContent = shade.low;
  $("ramp-title").textContent = shade.title;
  $("ramp-high").textContent = shade.high;
}

function repriced() {
  const own = { ...state.terms, costWeight: state.answer.cost_weight };
  const changed = state.clusters.filter((c) => c.judged && judge(c, own).best.model !== c.judged.best.model);
  const replayed = state.step === null ? "" : "Replay: who led by the rewards observed so far, shrunk to each model's mean. ";
  $("repriced").textContent = replayed + (state.own || state.step !== null ? "" : `At cost weight ${state.terms.costWeight.toFixed(2)} instead of ${own.costWeight.toFixed(2)}, ${changed.length} of ${state.clusters.length} clusters change hands, with ${percent(d3.sum(changed, (c) => c.share))} of the traffic.`);
}

function price(weight, own) {
  state.terms.costWeight = weight;
  state.own = own;
  if (own) $("weight").value = weight;
  $("weight-shown").textContent = weight.toFixed(2);
  $("own-weight").disabled = own;
}

// -- one cluster -------------------------------------------------------------------------------

let carded = null;
function hover(id, x, y, radius) {
  const cluster = state.byId.get(id), box = $("card");
  box.hidden = !cluster;
  if (!cluster) return;
  if (box.dataset.id !== String(id)) $("said").textContent = spoken(cluster, state.terms);
  if (carded !== cluster) box.replaceChildren(...card(cluster, state));
  carded = cluster;
  box.dataset.id = id;
  const left = x + radius + 14 + box.offsetWidth < scene.width ? x + radius + 14 : x - radius - 14 - box.offsetWidth;
  box.style.left = `${Math.max(6, left)}px`;
  box.style.top = `${Math.max(6, Math.min(y - 40, scene.height - box.offsetHeight - 6))}px`;
}

function open(id) {
  location.hash = `cluster=${id}`;
}

function route() {
  const id = Number(/^#cluster=(\d+)$/.exec(location.hash)?.[1] ?? NaN);
  state.opened = Number.isNaN(id) ? null : id;
  scene.choose(state.opened);
  drawPanel(true);
}

function close() {
  history.replaceState(null, "", location.pathname + location.search);
  route();
  $("canvas").focus();
}

let pastOf = { id: null, nodes: [] };
async function drawPanel(fresh) {
  const box = $("panel"), id = state.opened;
  box.hidden = id === null;
  if (id === null) return;
  const cluster = state.byId.get(id);
  if (!cluster) {
    if (!state.answer) return;
    box.replaceChildren(el("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "✕"), el("h2", { tabindex: "-1" }, `Cluster ${id}`), el("p", {}, "It does not live any more; the lineage says what became of it."));
  } else box.replaceChildren(...panel(cluster, state, close));
  if (pastOf.id === id) box.append(...pastOf.nodes);
  if (fresh) { box.querySelector("h2").focus({ preventScroll: innerWidth > 830 }); $("side").scrollTop = 0; }
  if (fresh || pastOf.id !== id) {
    try {
      const nodes = past(cluster ?? { id }, await get(`/map/data/clusters/${id}`), state);
      if (state.opened !== id) return;
      for (const node of pastOf.nodes) node.remove();
      pastOf = { id, nodes };
      box.append(...nodes);
    } catch (error) { box.append(el("p", { class: "note" }, error.message)); }
  }
}

function drawTable() {
  $("table").replaceChildren(table(state.clusters, state, open, drawTable));
}

// -- asking where a prompt would go ------------------------------------------------------------

async function where(event) {
  event.preventDefault();
  const prompt = $("prompt").value, box = $("panel");
  try {
    const found = await post("/map/data/where", { prompt, ...(state.own ? {} : { cost_weight: state.terms.costWeight }) });
    const cluster = state.byId.get(found.path.at(-1));
    const around = state.clusters.filter((c) => c.region === found.path.at(-2)).map((c) => state.places.positions[c.id]).filter(Boolean);
    const spot = cluster ? state.places.positions[cluster.id] : around.length ? [d3.mean(around, (p) => p[0]), d3.mean(around, (p) => p[1])] : [scene.view?.x ?? 0, scene.view?.y ?? 0];
    scene.drop(cluster?.id ?? null, ...spot, state.colour(found.model));
    history.replaceState(null, "", location.pathname);
    state.opened = null;
    box.hidden = false;
    box.replaceChildren(el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => { scene.pin = null; close(); } }, "✕"), ...whereTo(found, cluster, state));
    box.querySelector("h2").focus();
  } catch (error) {
    box.hidden = false;
    box.replaceChildren(el("p", { class: "bad", role: "alert" }, error.message));
  }
}

// -- time ---------------------------------------------------------------------------------------

let playing = null;
async function log() {
  if (state.replay) return state.replay;
  state.replay = new Replay(await get("/map/data/growth"));
  $("moment").max = Math.max(1, state.replay.length);
  heirs = state.replay.heirs;
  return state.replay;
}

// Shows the map after so many prompts of the log; all of them is now.
function moment(step) {
  const { replay } = state, end = step >= replay.length;
  state.step = end ? null : Math.max(1, step);
  $("moment").value = end ? replay.length : state.step;
  $("moment-shown").textContent = end ? "now" : `${whole(step)} of ${whole(replay.length)} prompts, ${new Date(1000 * replay.time(state.step)).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" })}`;
  if (end) state.replay = null; // the next replay begins with what has come since
  show();
}

async function seek() {
  stop();
  const share = Number($("moment").value) / Number($("moment").max);
  try {
    const { length } = await log();
    moment(Math.round(share * length));
  } catch (error) { $("moment-shown").textContent = error.message; }
}

async function play() {
  if (playing) return stop();
  try { await log(); } catch (error) { $("moment-shown").textContent = error.message; return; }
  if (state.replay.length < 2) return;
  moment(state.step ?? 1);
  const step = Math.max(1, Math.round(state.replay.length / 240));
  $("play").textContent = "❚❚";
  $("play").setAttribute("aria-label", "Stop");
  playing = setInterval(() => (state.replay ? moment((state.step ?? 0) + step) : stop()), 90);
}

function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-label", "Replay how the map grew");
}

// -- the demo -----------------------------------------------------------------------------------

// Prompts that the demo knows, asked as anybody would: routed, answered, learnt.
async function demo() {
  const { prompts } = await get("/map/data/samples");
  $("demo").hidden = !prompts.length;
  $("samples").addEventListener("click", async () => {
    $("samples").disabled = true;
    const left = d3.shuffle([...prompts]);
    const send = async () => {
      for (let prompt; (prompt = left.pop());) {
        await post("/route", { prompt });
        $("samples-said").textContent = `${whole(prompts.length - left.length)} of ${whole(prompts.length)} sent`;
      }
    };
    try { await Promise.all([send(), send()]); } catch (error) { $("samples-said").textContent = error.message; }
    $("samples").disabled = false;
  });
}

// -- wiring -------------------------------------------------------------------------------------

$("colour").addEventListener("change", show);
$("weight").addEventListener("input", () => { price(Number($("weight").value), false); show(); });
$("own-weight").addEventListener("click", () => { price(state.answer?.cost_weight ?? 0, true); show(); });
$("where").addEventListener("submit", where);
$("closer").addEventListener("click", () => scene.magnify(1.5));
$("farther").addEventListener("click", () => scene.magnify(1 / 1.5));
$("all").addEventListener("click", () => scene.reset());
$("play").addEventListener("click", play);
$("moment").addEventListener("input", seek);
$("as-table").addEventListener("click", () => {
  const on = $("table").hidden;
  $("table").hidden = !on;
  $("stage").hidden = on;
  $("as-table").setAttribute("aria-pressed", String(on));
  if (on) drawTable();
});
addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
if (frozen) {
  $("where").hidden = true;
  document.querySelector("nav").hidden = true;
}

listen({
  hello: (m) => { Object.assign(state, { totals: m.totals, shares: m.shares }); dirty = true; if (state.answer) totals(); },
  tick: (m) => {
    Object.assign(state, { totals: m.totals, shares: m.shares });
    dirty = true;
    for (const e of m.lineage) if (e.what === "merged") heirs.set(e.cluster, e.other);
    if (state.step !== null || !state.answer) return;
    for (const d of m.decisions) scene.flash(d.cluster, state.colour(d.model));
    totals();
    legend();
  },
}, (connected) => { live = connected; if (state.answer) totals(); });

await refresh();
route();
if (!frozen) demo().catch(() => {});
setInterval(() => { if (dirty && performance.now() >= next && !document.hidden) refresh(); }, 250);
