// The drawing, on a canvas: d3 gives gestures, contours and cells; every frame is ours.
// Points ease to where they should be; nothing is drawn while nothing moves.

import { isDark } from "./dom.js";
import { Labels } from "./labels.js";

const d3 = globalThis.d3;
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const FLASH_MS = 1400, EASE_MS = 260;
const GREY = "#8a94a3";

export class Scene {
  // on: {hover(id | null, x, y), open(id)}
  constructor(canvas, on) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.on = on;
    this.nodes = new Map();
    this.regions = [];
    this.flashes = [];
    this.labels = new Labels(this);
    this.stamps = new Map();
    this.pin = null;
    this.hovered = null;
    this.chosen = null;
    this.frames = 0;
    this.transform = d3.zoomIdentity;
    this.zoom = d3.zoom().scaleExtent([0.6, 24]).on("zoom", (event) => {
      if (event.transform.k !== this.transform.k) this.zoomed = performance.now();
      this.transform = event.transform;
      this.ask();
    });
    d3.select(canvas).call(this.zoom).on("dblclick.zoom", null);
    canvas.addEventListener("pointermove", (e) => (e.buttons ? this.hover(null) : this.point(e)));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("click", (e) => { this.point(e); if (this.hovered !== null) on.open(this.hovered); });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (e) => this.key(e));
    canvas.addEventListener("blur", () => this.hover(null));
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.theme(); this.land(); this.ask(); });
    this.theme();
    this.resize();
  }

  theme() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    this.ink = { text: read("--ink"), quiet: read("--quiet"), sea: read("--sea"), land: read("--land"), line: read("--border") };
    this.dark = isDark();
    this.stamps.clear();
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    [this.width, this.height] = [width, height];
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
    this.stamps.clear();
    this.fit(true);
    this.land();
    this.ask();
  }

  // items: [{id, x, y, weight, colour, alpha, region}] of the living; regions: [{id, label, colour, weight}];
  // heirs: id of the dead to id of the living.
  set(items, regions, heirs = new Map()) {
    const first = !this.nodes.size, now = performance.now();
    const most = d3.max(items, (i) => i.weight) || 1;
    this.most = most;
    const living = new Set(items.map((i) => i.id));
    for (const item of items) {
      const size = Math.sqrt(Math.max(0, item.weight) / most);
      let node = this.nodes.get(item.id);
      if (!node) {
        node = { id: item.id, x: item.x, y: item.y, size: 0, shown: first || STILL.matches ? 1 : 0, rgb: d3.rgb(item.colour || GREY), alpha: item.alpha };
        if (first) node.size = size;
        else this.flashes.push({ id: item.id, colour: this.ink.text, start: now, birth: true });
        this.nodes.set(item.id, node);
      }
      Object.assign(node, { toX: item.x, toY: item.y, toSize: size, toShown: 1, toRgb: d3.rgb(item.colour || GREY), toAlpha: item.alpha, region: item.region, known: Boolean(item.colour) });
    }
    for (const [id, node] of this.nodes) {
      if (living.has(id)) continue;
      node.toShown = 0;
      const heir = this.nodes.get(heirs.get(id));
      if (heir) [node.toX, node.toY] = [heir.toX, heir.toY]; // merges are seen to flow together
    }
    this.regions = regions;
    this.fit(first);
    this.land();
    this.ask();
  }

  living() { return [...this.nodes.values()].filter((n) => n.toShown); }

  // The window on the plane; it moves only if the picture has outgrown it.
  fit(force) {
    const nodes = this.living();
    if (!nodes.length || !this.width) return;
    const [x0, x1] = d3.extent(nodes, (n) => n.toX), [y0, y1] = d3.extent(nodes, (n) => n.toY);
    const w = Math.max(x1 - x0, 1e-3), h = Math.max(y1 - y0, 1e-3), pad = this.width < 600 ? 0.09 : 0.12;
    const aim = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, kx: this.width * (1 - 2 * pad) / w, ky: this.height * (1 - 2.4 * pad) / h };
    // A plane without units: the axes may stretch, within reason, to fill the window.
    aim.kx = Math.min(aim.kx, 1.6 * aim.ky);
    aim.ky = Math.min(aim.ky, 1.6 * aim.kx);
    const old = this.aim;
    const differs = !old || Math.abs(aim.kx / old.kx - 1) > 0.07 || Math.abs(aim.ky / old.ky - 1) > 0.07 ||
      Math.abs(aim.x - old.x) * aim.kx > 0.03 * this.width || Math.abs(aim.y - old.y) * aim.ky > 0.03 * this.height;
    if (force || differs) this.aim = aim;
    if (force || !this.view) this.view = { ...this.aim };
  }

  base(x, y) {
    const v = this.view;
    return [this.width / 2 + (x - v.x) * v.kx, this.height / 2 - (y - v.y) * v.ky];
  }

  // The middle of some points, the heavier the more it counts.
  middle(nodes) {
    const total = d3.sum(nodes, (n) => n.size * n.size) || 1;
    const mean = (key) => d3.sum(nodes, (n) => n[key] * n.size * n.size) / total;
    return this.transform.apply(this.base(mean("x"), mean("y")));
  }

  place(node) { return this.transform.apply(this.base(node.x, node.y)); }

  radius(node) {
    const crowd = Math.sqrt(70 / Math.max(20, this.nodes.size));
    const most = Math.max(6, Math.min(0.05 * Math.min(this.width, this.height), 46) * Math.min(1.15, crowd));
    return (2.6 + (most - 2.6) * node.size) * node.shown * Math.pow(this.transform.k, 0.45);
  }

  // Land under the points: a coast by density, territories by cells, in base coordinates.
  land() {
    const nodes = this.living();
    this.ground = null;
    this.labels.forget();
    if (nodes.length < 4 || !this.aim) return;
    const old = this.view;
    this.view = this.aim;
    const points = nodes.map((n) => this.base(n.toX, n.toY));
    this.view = old;
    const bandwidth = Math.min(40, Math.max(14, 0.5 * Math.sqrt(this.width * this.height / nodes.length)));
    const margin = 3 * bandwidth;
    const density = d3.contourDensity()
      .x((p) => p[0] + margin).y((p) => p[1] + margin)
      .size([this.width + 2 * margin, this.height + 2 * margin])
      .cellSize(4).bandwidth(bandwidth).contours(points);
    const alone = 1 / (2 * Math.PI * bandwidth * bandwidth); // the peak of a single point
    const contours = [0.3 * alone, ...d3.range(1, 6).map((i) => (density.max * i) / 6).filter((v) => v > 0.5 * alone)].map(density);
    const shift = new DOMMatrix().translate(-margin, -margin);
    const paths = contours.map((contour) => {
      const path = new Path2D();
      path.addPath(new Path2D(d3.geoPath()(contour)), shift);
      return path;
    });
    const delaunay = d3.Delaunay.from(points);
    const cells = delaunay.voronoi([-margin, -margin, this.width + margin, this.height + margin]);
    const territories = new Map();
    nodes.forEach((node, i) => {
      if (!territories.has(node.region)) territories.set(node.region, new Path2D());
      const cell = cells.cellPolygon(i);
      if (cell) territories.get(node.region).addPath(new Path2D(`M${cell.map((p) => p.join(",")).join("L")}Z`));
    });
    const borders = new Path2D();
    const { halfedges, triangles } = delaunay;
    for (let e = 0; e < halfedges.length; e++) {
      const other = halfedges[e];
      if (other < e || nodes[triangles[e]].region === nodes[triangles[other]].region) continue;
      const a = 2 * Math.floor(e / 3), b = 2 * Math.floor(other / 3), c = cells.circumcenters;
      borders.moveTo(c[a], c[a + 1]);
      borders.lineTo(c[b], c[b + 1]);
    }
    this.ground = { paths, territories, borders };
    this.tile = null;
  }

  // The land as a picture, half a window larger on every side: while the map is dragged it is only
  // shifted, while it is zoomed only stretched, and painted anew when it has come to rest.
  paintGround(c, now) {
    const { k, x, y } = this.transform, [w, h] = [this.width, this.height];
    const { tile } = this;
    const outside = tile && (Math.abs(x - tile.x * (k / tile.k)) > w / 2 || Math.abs(y - tile.y * (k / tile.k)) > h / 2);
    const resting = now - (this.zoomed ?? 0) > 150;
    if (!tile || (tile.k === k ? outside : resting)) {
      this.tile = this.drawTile(k, x, y);
      if (tile?.k !== k) this.labels.forget();
    }
    if (this.tile.k !== k) setTimeout(() => this.ask(), 160);
    const { canvas, ...at } = this.tile, scale = k / at.k;
    c.drawImage(canvas, x - (at.x + w / 2) * scale, y - (at.y + h / 2) * scale, 2 * w * scale, 2 * h * scale);
  }

  drawTile(k, x, y) {
    const canvas = document.createElement("canvas"), [w, h] = [this.width, this.height];
    canvas.width = 2 * w;
    canvas.height = 2 * h;
    const c = canvas.getContext("2d");
    c.setTransform(k, 0, 0, k, x + w / 2, y + h / 2);
    this.paintLand(c, k);
    return { canvas, k, x, y };
  }

  flash(id, colour) {
    if (this.flashes.length < 240) this.flashes.push({ id, colour, start: performance.now() + Math.random() * 700 });
    this.ask();
  }

  drop(id, x, y, colour) { this.pin = { id, x, y, colour, start: performance.now() }; this.ask(); }

  ask() { this.asked ||= requestAnimationFrame((now) => { this.asked = null; this.frame(now); }); }

  frame(now) {
    if (!this.width || !this.view) return;
    const passed = Math.min(64, now - (this.last ?? now - 16));
    this.last = now;
    this.frames++;
    const moving = this.step(STILL.matches ? 1 : 1 - Math.exp(-passed / EASE_MS));
    this.paint(now);
    if (moving || this.flashes.length || (this.pin && now - this.pin.start < 900)) this.ask();
    else this.last = undefined;
  }

  step(share) {
    let moving = false;
    const ease = (from, to, scale) => {
      if (Math.abs(to - from) <= 0.002 * scale) return to;
      moving = true;
      return from + (to - from) * share;
    };
    for (const key of ["x", "y", "kx", "ky"]) this.view[key] = ease(this.view[key], this.aim[key], key.length > 1 ? this.aim[key] : this.width / this.aim.kx);
    const span = this.width / this.aim.kx;
    for (const [id, n] of this.nodes) {
      n.x = ease(n.x, n.toX, span);
      n.y = ease(n.y, n.toY, span);
      n.size = ease(n.size, n.toSize, 1);
      n.shown = ease(n.shown, n.toShown, 1);
      n.alpha = ease(n.alpha, n.toAlpha, 1);
      const { r, g, b } = n.toRgb;
      if (!n.css || n.rgb.r !== r || n.rgb.g !== g || n.rgb.b !== b) {
        for (const c of ["r", "g", "b"]) n.rgb[c] = ease(n.rgb[c], n.toRgb[c], 255);
        n.css = `rgb(${n.rgb.r | 0},${n.rgb.g | 0},${n.rgb.b | 0})`;
      }
      if (!n.toShown && n.shown === 0) this.nodes.delete(id);
    }
    return moving;
  }

  paint(now) {
    const c = this.context, r = this.ratio;
    c.setTransform(r, 0, 0, r, 0, 0);
    c.fillStyle = this.ink.sea;
    c.fillRect(0, 0, this.width, this.height);
    if (this.ground) this.paintGround(c, now);
    const focus = this.hovered ?? this.chosen;
    const region = focus === null ? null : this.nodes.get(focus)?.region;
    const sorted = [...this.nodes.values()].sort((a, b) => b.size - a.size);
    for (const node of sorted) this.paintNode(c, node, region !== null && region !== undefined && node.region !== region);
    this.paintFlashes(c, now);
    for (const id of new Set([this.chosen, this.hovered])) if (id !== null) this.paintRing(c, this.nodes.get(id));
    this.labels.paint(c, region);
    if (this.pin) this.paintPin(c, now);
  }

  paintLand(c, k) {
    const { paths, territories, borders } = this.ground;
    c.fillStyle = this.ink.land;
    paths.forEach((path, i) => { c.globalAlpha = i ? 0.16 : 1; c.fill(path, "evenodd"); });
    c.globalAlpha = 1;
    c.save();
    c.clip(paths[0], "evenodd");
    for (const region of this.regions) {
      const path = territories.get(region.id);
      if (!path || !region.colour) continue;
      c.fillStyle = region.colour;
      c.globalAlpha = this.dark ? 0.1 : 0.09;
      c.fill(path);
    }
    c.globalAlpha = this.dark ? 0.5 : 0.75;
    c.strokeStyle = this.ink.line;
    c.lineWidth = 1.2 / k;
    c.setLineDash([4 / k, 4 / k]);
    c.stroke(borders);
    c.restore();
    c.strokeStyle = this.ink.line;
    c.lineWidth = 1.2 / k;
    c.stroke(paths[0]);
    c.globalAlpha = 0.35;
    c.lineWidth = 0.7 / k;
    for (const path of paths.slice(1)) c.stroke(path);
    c.globalAlpha = 1;
  }

  paintNode(c, node, aside) {
    const [x, y] = this.place(node), radius = this.radius(node);
    if (radius < 0.3 || x < -40 || y < -40 || x > this.width + 40 || y > this.height + 40) return;
    const { canvas, half } = this.stamp(node.css, node.known ? node.alpha : 0.15, radius);
    c.globalAlpha = (aside ? 0.75 : 1) * node.shown;
    c.drawImage(canvas, x - half, y - half, 2 * half, 2 * half);
    c.globalAlpha = 1;
  }

  // A point as a picture: many look alike to the eye, and thousands are painted in a frame.
  stamp(colour, alpha, radius) {
    const r = Math.round(4 * radius) / 4, a = Math.round(24 * alpha) / 24, key = `${colour} ${a} ${r}`;
    let found = this.stamps.get(key);
    if (found) return found;
    if (this.stamps.size > 4000) this.stamps.clear();
    const half = Math.ceil(r + 1), canvas = document.createElement("canvas"), c = canvas.getContext("2d");
    canvas.width = canvas.height = Math.ceil(2 * half * this.ratio);
    c.scale(canvas.width / (2 * half), canvas.width / (2 * half));
    c.arc(half, half, r, 0, 2 * Math.PI);
    c.fillStyle = this.ink.land; // first opaque: points that overlap stay apart
    c.fill();
    c.globalAlpha = a;
    c.fillStyle = c.strokeStyle = colour;
    c.fill();
    c.globalAlpha = 1;
    c.lineWidth = 1.4;
    c.stroke();
    this.stamps.set(key, found = { canvas, half });
    return found;
  }

  paintRing(c, node) {
    if (!node) return;
    const [x, y] = this.place(node);
    c.beginPath();
    c.arc(x, y, this.radius(node) + 4, 0, 2 * Math.PI);
    c.lineWidth = 2.5;
    c.strokeStyle = this.ink.text;
    c.stroke();
  }

  paintFlashes(c, now) {
    this.flashes = this.flashes.filter((f) => now - f.start < FLASH_MS);
    for (const flash of this.flashes) {
      const node = this.nodes.get(flash.id);
      const t = (now - flash.start) / FLASH_MS;
      if (!node || t < 0) continue;
      const [x, y] = this.place(node), radius = this.radius(node);
      const out = STILL.matches ? 6 : (flash.birth ? 26 : 20) * (1 - (1 - t) ** 3);
      c.beginPath();
      c.arc(x, y, radius + out, 0, 2 * Math.PI);
      c.globalAlpha = (1 - t) * 0.9;
      c.lineWidth = flash.birth ? 1.5 : 3 * (1 - t) + 0.5;
      c.strokeStyle = flash.colour;
      c.stroke();
      if (!flash.birth && t < 0.35) { // the prompt itself
        c.beginPath();
        c.arc(x, y, 2.5 + 2 * (1 - t), 0, 2 * Math.PI);
        c.fillStyle = this.dark ? "#fff" : "#111";
        c.globalAlpha = 1 - t / 0.35;
        c.fill();
      }
      c.globalAlpha = 1;
    }
  }

  paintPin(c, now) {
    const node = this.nodes.get(this.pin.id);
    const [x, y] = node ? this.place(node) : this.transform.apply(this.base(this.pin.x, this.pin.y));
    const t = STILL.matches ? 1 : Math.min(1, (now - this.pin.start) / 800);
    const fall = (1 - t) ** 2 * 140;
    c.beginPath();
    c.moveTo(x, y - fall);
    c.bezierCurveTo(x - 4, y - 10 - fall, x - 11, y - 15 - fall, x - 11, y - 23 - fall);
    c.arc(x, y - 23 - fall, 11, Math.PI, 0);
    c.bezierCurveTo(x + 11, y - 15 - fall, x + 4, y - 10 - fall, x, y - fall);
    c.fillStyle = this.pin.colour;
    c.fill();
    c.lineWidth = 2;
    c.strokeStyle = this.ink.text;
    c.stroke();
  }

  // -- pointing -------------------------------------------------------------------------------

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = Infinity;
    for (const node of this.living()) {
      const [x, y] = this.place(node);
      const apart = Math.hypot(x - px, y - py) - this.radius(node);
      if (apart < least) [best, least] = [node, apart];
    }
    this.hover(best && least < (event.pointerType === "touch" ? 22 : 10) ? best.id : null);
  }

  hover(id) {
    if (id !== this.hovered) { this.hovered = id; this.ask(); }
    const node = id === null ? null : this.nodes.get(id);
    this.on.hover(id, ...(node ? [...this.place(node), this.radius(node)] : []));
  }

  choose(id) { this.chosen = id; this.ask(); }

  reset() { d3.select(this.canvas).transition().duration(STILL.matches ? 0 : 350).call(this.zoom.transform, d3.zoomIdentity); }

  magnify(by) { d3.select(this.canvas).transition().duration(STILL.matches ? 0 : 200).call(this.zoom.scaleBy, by); }

  key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { key } = event;
    if (key in arrows) this.hover(this.next(...arrows[key]));
    else if (key === "Enter" && this.hovered !== null) this.on.open(this.hovered);
    else if (key === "+" || key === "=") this.magnify(1.4);
    else if (key === "-") this.magnify(1 / 1.4);
    else if (key === "0") this.reset();
    else if (key === "Escape") this.hover(null);
    else return;
    event.preventDefault();
  }

  // The nearest point in a direction; the largest to begin with.
  next(dx, dy) {
    const nodes = this.living(), from = this.nodes.get(this.hovered);
    if (!from) return d3.greatest(nodes, (n) => n.size)?.id ?? null;
    const [x0, y0] = this.place(from);
    const found = d3.least(nodes.filter((n) => n !== from), (n) => {
      const [x, y] = this.place(n), ahead = (x - x0) * dx + (y - y0) * dy;
      return ahead > 1 ? ahead + 2 * Math.abs((x - x0) * dy + (y - y0) * dx) : Infinity;
    });
    if (!found) return from.id;
    const [x, y] = this.place(found), [fx, fy] = this.place(from);
    return (x - fx) * dx + (y - fy) * dy > 1 ? found.id : from.id;
  }
}
