// The map page: fetches /clusters, draws every micro-cluster, re-prices in the browser.
"use strict";

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d31", "#7b4fa3"];
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 800, HEIGHT = 600, EDGE = 40;
const $ = (id) => document.getElementById(id);
let data = { clusters: [], reference_cost_usd: 1, cost_weight: 0 };
let models = [];
let chosen = null;

function utility(arm) {
  const cost = arm.cost_usd === null ? 0 : arm.cost_usd;
  return arm.quality - (Number($("weight").value) * cost) / data.reference_cost_usd;
}

function winner(cluster) {
  return cluster.arms.reduce((a, b) => (a === null || utility(b) > utility(a) ? b : a), null);
}

function element(name, attributes, parent) {
  const out = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
  if (parent) parent.append(out);
  return out;
}

function finest() {
  const deepest = Math.max(0, ...data.clusters.map((c) => c.level));
  return data.clusters.filter((c) => c.level === deepest);
}

function scaled(clusters) {
  const range = (k) => {
    const values = clusters.map((c) => c.position[k]);
    return [Math.min(...values), Math.max(...values) - Math.min(...values) || 1];
  };
  const [x, dx] = range(0), [y, dy] = range(1);
  return (c) => [
    EDGE + ((c.position[0] - x) / dx) * (WIDTH - 2 * EDGE),
    HEIGHT - EDGE - ((c.position[1] - y) / dy) * (HEIGHT - 2 * EDGE),
  ];
}

function shade(value, most) {
  const share = most > 0 ? Math.min(1, value / most) : 0;
  return `hsl(${Math.round(210 - 190 * share)} 70% 50%)`;
}

function colour(arm, mosts) {
  if ($("colour").value === "cost") return shade(arm.cost_usd || 0, mosts.cost);
  if ($("colour").value === "doubt") return shade(doubt(arm), mosts.doubt);
  return COLOURS[models.indexOf(arm.model) % COLOURS.length];
}

function doubt(arm) { return arm.quality_interval[1] - arm.quality_interval[0]; }
function money(value) { return value === null ? "unknown" : value.toPrecision(3); }
function interval(arm) { return arm.quality_interval.map((v) => v.toFixed(2)).join(" to "); }

function describe(cluster) {
  chosen = cluster.id;
  const region = data.clusters.find((c) => c.id === cluster.parent);
  $("detail-title").textContent = `Cluster ${cluster.id}` + (region && region.label ? `: ${region.label}` : "");
  const list = document.createElement("ul");
  for (const arm of [...cluster.arms].sort((a, b) => utility(b) - utility(a))) {
    const item = document.createElement("li");
    item.textContent = `${arm.model}: quality ${arm.quality.toFixed(3)} (${interval(arm)}), ` +
      `cost ${money(arm.cost_usd)}, feedback ${arm.evidence.toFixed(1)}`;
    list.append(item);
  }
  $("detail").replaceChildren(`${cluster.weight.toFixed(1)} prompts lately`, list);
}

function draw() {
  const clusters = finest(), place = scaled(data.clusters), map = $("map");
  const winners = new Map(clusters.map((c) => [c.id, winner(c)]));
  const arms = [...winners.values()].filter(Boolean);
  const mosts = { cost: Math.max(0, ...arms.map((a) => a.cost_usd || 0)), doubt: Math.max(0, ...arms.map(doubt)) };
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : null;
  map.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  map.replaceChildren();
  for (const cluster of [...clusters].sort((a, b) => b.weight - a.weight)) {
    const arm = winners.get(cluster.id);
    if (!arm) continue;
    const [x, y] = place(cluster);
    const circle = element("circle", {
      cx: x, cy: y, r: Math.min(26, 4 + 2 * Math.sqrt(cluster.weight)), fill: colour(arm, mosts),
      "fill-opacity": Math.max(0.35, 1 - doubt(arm)), tabindex: 0, "data-id": cluster.id,
      "aria-label": `Cluster ${cluster.id}, ${arm.model} wins, quality ${arm.quality.toFixed(2)}`,
    }, map);
    for (const event of ["mouseenter", "focus"]) circle.addEventListener(event, () => describe(cluster));
    if (focused === String(cluster.id)) circle.focus();
  }
  for (const region of data.clusters.filter((c) => c.label)) {
    const [x, y] = place(region);
    element("text", { x, y }, map).textContent = region.label;
  }
  const known = clusters.find((c) => c.id === chosen);
  if (known) describe(known);
  legend(clusters, winners);
  rows(clusters, winners);
}

function legend(clusters, winners) {
  const total = clusters.reduce((sum, c) => sum + c.weight, 0) || 1;
  $("legend").replaceChildren(...models.map((model, i) => {
    const share = clusters.filter((c) => winners.get(c.id)?.model === model).reduce((sum, c) => sum + c.weight, 0);
    const item = document.createElement("li");
    const dot = element("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, item);
    element("circle", { cx: 5, cy: 5, r: 5, fill: COLOURS[i % COLOURS.length] }, dot);
    item.append(`${model}: wins where ${Math.round((100 * share) / total)} % of the traffic is`);
    return item;
  }));
}

function rows(clusters, winners) {
  $("rows").replaceChildren(...clusters.map((cluster) => {
    const arm = winners.get(cluster.id), row = document.createElement("tr");
    const cells = arm
      ? [cluster.id, cluster.parent, cluster.weight.toFixed(1), cluster.evidence.toFixed(1), arm.model,
         arm.quality.toFixed(3), interval(arm), money(arm.cost_usd)]
      : [cluster.id, cluster.parent, cluster.weight.toFixed(1)];
    for (const cell of cells) row.insertCell().textContent = cell;
    return row;
  }));
}

async function refresh(first) {
  try {
    const answer = await fetch("/clusters");
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    data = await answer.json();
    models = [...new Set(data.clusters.flatMap((c) => c.arms.map((a) => a.model)))].sort();
    if (first) $("weight").value = data.cost_weight;
    $("weight-shown").textContent = Number($("weight").value).toFixed(2);
    const clusters = finest();
    const feedback = clusters.reduce((sum, c) => sum + c.evidence, 0);
    $("totals").textContent = clusters.length
      ? `${clusters.length} clusters, feedback worth ${feedback.toFixed(0)}`
      : "No prompt has come yet: route one, and the map begins to grow.";
    draw();
  } catch (error) {
    $("totals").textContent = `The service does not answer: ${error.message}`;
  }
}

$("weight").addEventListener("input", () => {
  $("weight-shown").textContent = Number($("weight").value).toFixed(2);
  draw();
});
$("colour").addEventListener("change", draw);
refresh(true);
setInterval(() => refresh(false), 2000);
