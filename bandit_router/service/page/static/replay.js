// Growth, replayed from the log: which clusters there were, and who led by what had been observed.
// These are means of rewards shrunk to each model's own, not the posterior, which knows more.

const RECENT = 1000; // prompts that shares are of
const SHRINK = 20; // rewards that a model's overall mean counts in a cluster

export class Replay {
  constructor(log) {
    this.log = log;
    this.seqs = log.decisions.map((row) => row[0]);
    this.heirs = new Map(log.lineage.filter((e) => e[1] === "merged").map((e) => [e[2], e[3]]));
    this.born = new Map();
    for (const row of log.decisions) if (!this.born.has(row[2])) this.born.set(row[2], row[0]);
    this.died = new Map(log.lineage.filter((e) => e[1] !== "born").map((e) => [e[2], e[0]]));
  }

  get length() { return this.log.decisions.length; }

  time(step) { return this.log.decisions[Math.min(step, this.length) - 1]?.[1]; }

  // Totals and shares after the first `step` decisions, as they stood then.
  sums(step) {
    const { decisions, models } = this.log, recent = decisions.slice(Math.max(0, step - RECENT), step), shares = {};
    for (const row of recent) shares[models[row[3]]] = (shares[models[row[3]]] ?? 0) + 1 / recent.length;
    return { totals: { decision: step, feedback: decisions.slice(0, step).filter((row) => row[4] !== null).length }, shares };
  }

  // Where a cluster is drawn: its own place, or that of whom it merged into.
  position(id) {
    for (let at = id, tries = 0; tries < 50; at = this.heirs.get(at), tries++) {
      if (this.log.positions[at]) return this.log.positions[at];
      if (!this.heirs.has(at)) return null;
    }
    return null;
  }

  // The map after the first `step` decisions: [{id, weight, arms: [{model, quality, ...}]}].
  at(step) {
    const { decisions, models } = this.log;
    const now = decisions[Math.min(step, this.length) - 1]?.[0] ?? 0;
    const overall = models.map(() => ({ n: 0, sum: 0, bills: 0, cost: 0 }));
    const cells = new Map();
    for (const [seq, , cluster, arm, reward, cost] of decisions) {
      if (seq > now) break;
      let id = cluster;
      while (this.died.get(id) <= now && this.heirs.has(id)) id = this.heirs.get(id);
      if (this.died.get(id) <= now) continue;
      if (!cells.has(id)) cells.set(id, { weight: 0, arms: models.map(() => ({ n: 0, sum: 0 })) });
      const cell = cells.get(id);
      cell.weight++;
      for (const sums of [overall[arm], cell.arms[arm]]) if (reward !== null) { sums.n++; sums.sum += reward; }
      if (cost !== null) { overall[arm].bills++; overall[arm].cost += cost; }
    }
    return [...cells].map(([id, cell]) => ({
      id, weight: cell.weight, arms: models.map((model, i) => arm(model, cell.arms[i], overall[i])).filter((a) => a),
    }));
  }
}

function arm(model, here, all) {
  if (!all.n && !all.bills) return null;
  const mean = (all.sum + 1) / (all.n + 2); // before anything is seen, a half
  const quality = (here.sum + SHRINK * mean) / (here.n + SHRINK);
  const sd = 0.5 / Math.sqrt(here.n + 4);
  return {
    model, quality, evidence: here.n, latency_ms: null, cost_usd: all.bills ? all.cost / all.bills : null,
    quality_interval: [Math.max(0, quality - 1.96 * sd), Math.min(1, quality + 1.96 * sd)],
  };
}
