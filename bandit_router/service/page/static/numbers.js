// What the map computes from the posteriors: winners at a price, certainty, bounds; and formats.
// Utility is composed late, so re-pricing needs no answer from the service.

const d3 = globalThis.d3;
const Z95 = 1.959964;

const LIGHT = ["#1f74c4", "#bb6f00", "#0b8a63", "#c23f7a", "#7350c8", "#c0431c", "#2f8299", "#857600", "#3f8f1f", "#8a5a3c", "#3b49b8", "#6b6b6b"];
const DARK = ["#58a6f2", "#f5ab42", "#35c297", "#ee7fae", "#ab8cf0", "#ee7350", "#7cc4dc", "#cfc04a", "#84d35c", "#d79a72", "#8490f0", "#b4b4b4"];

export function palette(dark) { return dark ? DARK : LIGHT; }

export function colourOf(index, dark) {
  const colours = palette(dark);
  if (index < colours.length) return colours[index];
  return d3.hcl((index * 137.5) % 360, 55, dark ? 72 : 48).formatHex();
}

export function utility(arm, terms) {
  return arm.quality - (terms.costWeight * (arm.cost_usd ?? 0)) / terms.reference;
}

export function spread(arm) { return (arm.quality_interval[1] - arm.quality_interval[0]) / (2 * Z95); }

// The winner at these terms, the runner-up, how probably the first beats the second, and what
// choosing the winner may lose at most against any one other arm (95 %).
export function judge(cluster, terms) {
  const ranked = [...cluster.arms].sort((a, b) => utility(b, terms) - utility(a, terms));
  if (!ranked.length) return null;
  const [best, second] = ranked;
  let certainty = 1, bound = 0;
  for (const other of ranked.slice(1)) {
    const lead = utility(best, terms) - utility(other, terms);
    const sd = Math.hypot(spread(best), spread(other)) || 1e-6;
    if (other === second) certainty = normal(lead / sd);
    bound = Math.max(bound, Z95 * sd - lead);
  }
  return { best, second, certainty, bound, ranked };
}

// The normal distribution function; Abramowitz and Stegun (1964), 26.2.17.
function normal(x) {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const tail = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) *
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return x < 0 ? tail : 1 - tail;
}

// What colours stand for, beside the winner: [title, value of a cluster, scale, format].
export const SHADES = {
  cost: ["winner's cost of a thousand calls", (c) => c.judged.best.cost_usd, "log", perThousand],
  latency: ["expected latency of the winner", (c) => c.judged.best.latency_ms, "log", milliseconds],
  doubt: ["width of the winner's 95 % interval", (c) => 2 * Z95 * spread(c.judged.best), "linear", (v) => v.toFixed(2)],
  regret: ["what the winner may lose at most (95 %)", (c) => c.judged.bound, "linear", (v) => v.toFixed(3)],
  drift: ["newest feedback less expectation", (c) => c.drift?.n >= 5 ? c.drift.surprise : null, "around", signed],
};

export function shader(name, clusters, dark) {
  const [title, value, kind, format] = SHADES[name];
  const values = clusters.filter((c) => c.judged).map(value).filter((v) => v !== null && v !== undefined && Number.isFinite(v) && (kind !== "log" || v > 0));
  let low = d3.min(values) ?? 0, high = d3.max(values) ?? 1;
  if (kind === "around") { high = Math.max(0.1, ...values.map(Math.abs)); low = -high; }
  if (high === low) high = low + (Math.abs(low) || 1) * 1e-6;
  const ramp = kind === "around"
    ? (t) => d3.interpolateRgb(t < 0.5 ? "#d9534f" : dark ? "#8a94a3" : "#a8b0ba", t < 0.5 ? (dark ? "#8a94a3" : "#a8b0ba") : "#2b8fd6")(t < 0.5 ? 2 * t : 2 * t - 1)
    : (t) => d3.interpolateViridis(dark ? 0.2 + 0.8 * t : 0.9 * t);
  const scale = (kind === "log" ? d3.scaleLog() : d3.scaleLinear()).domain([low, high]).range([0, 1]).clamp(true);
  const colour = (c) => {
    const v = c.judged ? value(c) : null;
    return v === null || v === undefined || (kind === "log" && v <= 0) ? null : ramp(scale(v));
  };
  return { title, colour, ramp, low: values.length ? format(low) : "unknown", high: values.length ? format(high) : "unknown" };
}

export function money(v) {
  if (v === null || v === undefined) return "unknown";
  if (v === 0) return "$0";
  const size = Math.abs(v), sign = v < 0 ? "−" : "";
  return `${sign}$${size >= 1 ? size.toLocaleString("en", { maximumFractionDigits: 2 }) : Number(size.toPrecision(3))}`;
}
export function perThousand(v) { // what a thousand calls cost: single ones are too small to read
  return v === null || v === undefined ? "unknown" : `$${Number((1000 * v).toPrecision(3))}`;
}
export function milliseconds(v) {
  if (v === null || v === undefined) return "unknown";
  return v >= 1000 ? `${(v / 1000).toFixed(1)} s` : `${Math.round(v)} ms`;
}
export function percent(v, digits = 0) { return `${(100 * v).toFixed(digits)} %`; }
export function signed(v, digits = 2) { return `${v > 0 ? "+" : v < 0 ? "−" : ""}${Math.abs(v).toFixed(digits)}`; }
export function whole(v) { return Math.round(v).toLocaleString("en"); }
export function interval(arm) { return arm.quality_interval.map((v) => v.toFixed(2)).join("–"); }
export function ago(time, now = Date.now() / 1000) {
  const s = Math.max(0, now - time);
  if (s < 90) return `${Math.round(s)} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return new Date(1000 * time).toISOString().slice(0, 16).replace("T", " ");
}
