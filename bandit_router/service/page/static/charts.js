// Small charts as SVG: lines, stacked areas, intervals. Each has a text that says what it shows.

import { svg } from "./dom.js";

const d3 = globalThis.d3;
const PAD = { left: 44, right: 8, top: 8, bottom: 20 };

function frame(width, height, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" });
}

function axes(root, x, y, width, height, format, times) {
  for (const tick of y.ticks(3)) {
    root.append(
      svg("line", { x1: PAD.left, x2: width - PAD.right, y1: y(tick), y2: y(tick), class: "grid" }),
      svg("text", { x: PAD.left - 6, y: y(tick) + 4, class: "tick", "text-anchor": "end" }, format(tick)));
  }
  if (!times) return;
  const [from, to] = x.domain(), day = to - from > 86400;
  const clock = (t) => new Date(1000 * t).toLocaleString("en-GB", day ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit", second: to - from < 600 ? "2-digit" : undefined });
  root.append(
    svg("text", { x: PAD.left, y: height - 4, class: "tick" }, clock(from)),
    svg("text", { x: width - PAD.right, y: height - 4, class: "tick", "text-anchor": "end" }, clock(to)));
}

// series: [{name, colour, points: [[x, y], ...], band: [[x, low, high], ...], dashed}]
export function lines(series, { label, width = 480, height = 170, format = String, times = true, domain = null }) {
  const all = series.flatMap((s) => s.points);
  const root = frame(width, height, label);
  if (!all.length) return root;
  const [x0, x1] = d3.extent(all, (p) => p[0]);
  const x = d3.scaleLinear([x0, x1 > x0 ? x1 : x0 + 1], [PAD.left, width - PAD.right]);
  const high = d3.max([...all, ...series.flatMap((s) => s.band ?? [])], (p) => p.at(-1));
  const y = d3.scaleLinear(domain || [Math.min(0, d3.min(all, (p) => p[1])), high || 1], [height - PAD.bottom, PAD.top]);
  if (!domain) y.nice(3);
  axes(root, x, y, width, height, format, times);
  const path = d3.line((p) => x(p[0]), (p) => y(p[1])).curve(d3.curveMonotoneX);
  const band = d3.area((p) => x(p[0]), (p) => y(p[1]), (p) => y(p[2])).curve(d3.curveMonotoneX);
  for (const s of series) {
    if (s.band) root.append(svg("path", { d: band(s.band), fill: s.colour, "fill-opacity": 0.18 }));
    if (s.points.length === 1) root.append(svg("circle", { cx: x(s.points[0][0]), cy: y(s.points[0][1]), r: 3, fill: s.colour }));
    else root.append(svg("path", { d: path(s.points), fill: "none", stroke: s.colour, "stroke-width": 2, "stroke-linejoin": "round", "stroke-dasharray": s.dashed ? "5 4" : null }));
  }
  return root;
}

// rows: [{time, values: {name: number}}]; shares are stacked to 1 where `share` is set.
export function areas(rows, names, colours, { label, width = 480, height = 170, share = false, format = String }) {
  const root = frame(width, height, label);
  if (rows.length < 2) return root;
  const kept = share ? rows.filter((r) => d3.sum(names, (n) => r.values[n] || 0) > 0) : rows;
  if (kept.length < 2) return root;
  const stack = d3.stack().keys(names).value((r, n) => (r.values[n] || 0) / (share ? d3.sum(names, (m) => r.values[m] || 0) : 1))(kept);
  const x = d3.scaleLinear(d3.extent(kept, (r) => r.time), [PAD.left, width - PAD.right]);
  const y = d3.scaleLinear([0, share ? 1 : d3.max(stack.at(-1) ?? [[0, 1]], (p) => p[1]) || 1], [height - PAD.bottom, PAD.top]);
  axes(root, x, y, width, height, format, true);
  const area = d3.area((p, i) => x(kept[i].time), (p) => y(p[0]), (p) => y(p[1])).curve(d3.curveMonotoneX);
  stack.forEach((layer, i) => root.append(svg("path", { d: area(layer), fill: colours[i], "fill-opacity": 0.85 })));
  return root;
}

export function bars(values, { label, width = 480, height = 90, colour, format = String, from, to }) {
  const root = frame(width, height, label);
  if (!values.length) return root;
  const x = d3.scaleLinear([from, to > from ? to : from + 1], [PAD.left, width - PAD.right]);
  const y = d3.scaleLinear([0, d3.max(values) || 1], [height - PAD.bottom, PAD.top]);
  axes(root, x, y, width, height, format, true);
  const step = (width - PAD.left - PAD.right) / values.length;
  values.forEach((v, i) => v && root.append(svg("rect", { x: PAD.left + i * step + 0.5, y: y(v), width: Math.max(1, step - 1), height: y(0) - y(v), fill: colour, rx: 1 })));
  return root;
}

// A mean and its interval, on the span of those that it is shown beside.
export function whisker([low, high], mean, [from, to], colour) {
  const x = d3.scaleLinear([from, to > from ? to : from + 1], [4, 56]);
  return svg("svg", { viewBox: "0 0 60 12", class: "whisker", "aria-hidden": "true" },
    svg("line", { x1: 2, x2: 58, y1: 6, y2: 6, class: "grid" }),
    svg("line", { x1: x(low), x2: x(high), y1: 6, y2: 6, stroke: colour, "stroke-width": 3, "stroke-linecap": "round", "stroke-opacity": 0.55 }),
    svg("circle", { cx: x(mean), cy: 6, r: 3.5, fill: colour }));
}
