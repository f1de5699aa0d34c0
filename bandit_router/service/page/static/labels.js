// Names of regions on the map: the heaviest first, clear of the points and of each other.

const d3 = globalThis.d3;
const AREA = 60_000; // pixels of the window that a label may have for itself
const NEAR = 320; // pixels beyond which a point does not matter to a label

export class Labels {
  constructor(scene) {
    this.scene = scene;
    this.orders = new Map(); // region: where its label may stand from its middle, best first
  }

  // To be arranged anew: points or the magnification have changed.
  forget() { this.orders.clear(); }

  paint(c, focus) {
    const { scene } = this, { width, height, ink } = scene;
    const groups = d3.group(scene.living(), (n) => n.region);
    const few = Math.max(6, (width * height) / AREA) * Math.pow(scene.transform.k, 1.2);
    const taken = [];
    c.textAlign = "center";
    c.lineJoin = "round";
    for (const region of scene.regions) {
      const nodes = groups.get(region.id);
      if (!nodes || !region.label || (taken.length >= few && region.id !== focus)) continue;
      const [x, y] = scene.middle(nodes), text = this.text(c, region);
      if (x < -text.w || x > width + text.w || y < -text.h || y > height + text.h) continue;
      if (!this.orders.has(region.id)) this.orders.set(region.id, this.order(x, y, text, region.id));
      const spot = this.orders.get(region.id)
        .map(([dx, dy]) => [Math.min(Math.max(x + dx, text.w + 4), width - text.w - 4), y + dy])
        .find(([a, b]) => b > text.h && b < height - text.h && !taken.some((t) => Math.abs(t.x - a) < t.w + text.w && Math.abs(t.y - b) < t.h + text.h));
      if (!spot) continue;
      taken.push({ x: spot[0], y: spot[1], w: text.w, h: text.h });
      c.globalAlpha = focus !== null && focus !== undefined && focus !== region.id ? 0.7 : 1;
      text.rows.forEach((row, i) => {
        const at = spot[1] + (i - (text.rows.length - 1) / 2) * text.size * 1.15 + text.size * 0.35;
        c.font = this.font(text.size, i);
        c.lineWidth = 4;
        c.strokeStyle = ink.land;
        c.strokeText(row, spot[0], at);
        c.fillStyle = i ? ink.quiet : ink.text;
        c.fillText(row, spot[0], at);
      });
      c.globalAlpha = 1;
    }
  }

  font(size, row) { return `${row ? 500 : 700} ${row ? size - 1 : size}px system-ui, sans-serif`; }

  // The rows of a label, its size, and half of its width and height.
  text(c, region) {
    const size = Math.round(11 + 5 * Math.sqrt(region.share));
    const words = region.label.split(", ").map((w, i) => (i ? w : w[0].toUpperCase() + w.slice(1)));
    const rows = words.length > 2 ? [words[0], words.slice(1).join(", ")] : [words.join(", ")];
    const width = d3.max(rows, (row, i) => { c.font = this.font(size, i); return c.measureText(row).width; });
    return { rows, size, w: width / 2 + 4, h: rows.length * size * 0.6 + 4 };
  }

  // What a place costs: points that it covers, how far it is from the middle, foreign land.
  order(x, y, { w, h, size }, region) {
    const { scene } = this;
    const points = scene.living().map((n) => [...scene.place(n), scene.radius(n), n.region === region]).filter((p) => Math.hypot(p[0] - x, p[1] - y) < NEAR);
    const places = d3.cross([0, -0.6, 0.6, -1.2, 1.2], [0, -1.7, 1.7, -3.4, 3.4, -5.1, 5.1]).map(([across, down]) => {
      const dx = Math.min(Math.max(x + across * w, w + 4), scene.width - w - 4) - x, dy = down * size;
      let cover = 0, own = Infinity, other = Infinity;
      for (const [px, py, radius, ours] of points) {
        const apart = Math.hypot(Math.max(0, Math.abs(px - x - dx) - w), Math.max(0, Math.abs(py - y - dy) - h)) - radius;
        if (apart < 0) cover += Math.min(400, radius * radius);
        if (ours) own = Math.min(own, apart);
        else other = Math.min(other, apart);
      }
      return [dx, dy, cover / (size * size) + 0.1 * Math.hypot(dx, dy) / size + (own > Math.max(other, 0) ? 1.2 : 0)];
    });
    return places.sort((a, b) => a[2] - b[2]).slice(0, 12);
  }
}
