// The charts about a network: SVG drawn of the data that unet/page/about/charts.py describes.
// Every mark tells its value under the pointer and by the arrow keys; the legend turns series off.

const NEAR = 28; // pixels from the pointer within which a mark answers
const BINS = 20; // columns of the dots
const SHAPES = [ // by series, so that no chart needs colours to be told apart
  (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
  (x, y, r) => `M${x},${y - 1.25 * r}l${1.25 * r},${1.25 * r}l${-1.25 * r},${1.25 * r}l${-1.25 * r},${-1.25 * r}z`,
  (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x},${y - 1.2 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
];
const shapeOf = (series) => SHAPES[series.colour % SHAPES.length];
const percent = (value) => `${Math.round(value * 100)} %`;

function add(parent, name, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return parent.appendChild(node);
}

function put(parent, name, className, text = "") {
  const node = Object.assign(document.createElement(name), { className, textContent: text });
  return parent.appendChild(node);
}

// Round steps that part an axis into about `count`.
function ticksOf({ low, high }, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.99);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9; at++) {
    ticks.push(Number((at * step).toPrecision(6)));
  }
  return ticks;
}

class Chart {
  constructor(spec) {
    this.spec = spec;
    this.off = new Set();
    this.marks = []; // { x, y, tip, series }, in pixels, as last drawn
    this.at = -1;
    this.figure = document.createElement("figure");
    this.figure.className = `chart ${spec.kind}`;
    put(this.figure, "figcaption", "title", spec.title);
    put(this.figure, "p", "note", spec.note);
    if (spec.series.length > 1) this.addLegend();
    this.addPlot();
    new ResizeObserver(() => this.draw()).observe(this.plot); // also when it is first seen
  }

  addLegend() {
    const legend = put(this.figure, "div", "legend");
    legend.setAttribute("role", "group");
    legend.setAttribute("aria-label", `Shown in ${this.spec.title}`);
    for (const series of this.spec.series) {
      const button = put(legend, "button", "");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const sign = add(button, "svg", { width: 22, height: 12, "aria-hidden": "true" });
      this.paint(sign, series, [[1, 6], [21, 6]], this.dotted(series) ? [[11, 6]] : [], 4);
      button.append(series.name);
      button.addEventListener("click", () => this.toggle(series, button));
    }
  }

  addPlot() {
    this.plot = put(this.figure, "div", "plot");
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "group");
    this.plot.setAttribute("aria-roledescription", "chart");
    this.plot.setAttribute("aria-label",
      `${this.spec.title}. ${this.spec.note} Arrow keys tell the values.`);
    this.svg = add(this.plot, "svg", { "aria-hidden": "true" });
    this.tip = put(this.plot, "div", "tip");
    this.tip.setAttribute("role", "status");
    this.tip.hidden = true;
    const point = (event) => this.tell(this.nearest(event));
    this.plot.addEventListener("pointermove", point);
    this.plot.addEventListener("pointerdown", point);
    this.plot.addEventListener("pointerleave", () => this.tell(-1));
    this.plot.addEventListener("blur", () => this.tell(-1));
    this.plot.addEventListener("keydown", (event) => this.step(event));
  }

  toggle(series, button) {
    const shown = this.off.delete(series);
    if (!shown) this.off.add(series);
    button.setAttribute("aria-pressed", String(shown));
    this.draw();
  }

  // ---- telling values ----

  nearest({ clientX, clientY }) {
    const box = this.svg.getBoundingClientRect();
    let best = -1, least = NEAR ** 2;
    for (const [number, { x, y }] of this.marks.entries()) {
      const far = (x - clientX + box.left) ** 2 + (y - clientY + box.top) ** 2;
      if (far < least) [best, least] = [number, far];
    }
    return best;
  }

  step(event) {
    const last = this.marks.length - 1;
    const next = { ArrowRight: this.at + 1, ArrowUp: this.at + 1, ArrowLeft: this.at - 1,
      ArrowDown: this.at - 1, Home: 0, End: last, Escape: -1 }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.tell(event.key === "Escape" ? -1 : Math.min(Math.max(next, 0), last));
  }

  tell(number) {
    const mark = this.marks[number];
    this.at = mark ? number : -1;
    this.tip.hidden = !mark;
    this.ring?.remove();
    if (!mark) return;
    this.ring = add(this.svg, "circle", { cx: mark.x, cy: mark.y, r: 8, class: "ring" });
    const text = mark.tip.startsWith(mark.series.name) ? mark.tip : `${mark.series.name}: ${mark.tip}`;
    this.tip.textContent = this.spec.kind === "lines" ? text : mark.tip;
    const room = this.plot.clientWidth, own = this.tip.offsetWidth;
    const left = Math.min(Math.max(mark.x - own / 2, 0), Math.max(room - own, 0));
    const above = mark.y - this.tip.offsetHeight - 14;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${above < 0 ? mark.y + 14 : above}px`;
  }

  // ---- drawing ----

  draw() {
    this.width = this.plot.clientWidth;
    if (!this.width) return; // not on the screen yet
    this.tell(-1);
    this.svg.replaceChildren();
    this.marks = [];
    const shown = this.spec.series.filter((series) => !this.off.has(series));
    this[this.spec.kind](shown);
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("height", this.height);
  }

  // Axes around a box of pixels; afterwards `placeX` and `placeY` turn values into pixels.
  axes({ left, top, bottom, right = 14 }) {
    const { x, y } = this.spec, end = this.width - right;
    this.placeX = (value) => left + (value - x.low) / (x.high - x.low) * (end - left);
    const ticks = x.ticks ?? ticksOf(x, this.width > 500 ? 8 : 5)
      .map((tick) => [tick, x.percent ? percent(tick) : tick]);
    for (const [tick, text] of ticks) {
      const at = this.placeX(tick);
      add(this.svg, "line", { x1: at, x2: at, y1: top, y2: bottom, class: "grid" });
      add(this.svg, "text", { x: at, y: bottom + 16, "text-anchor": "middle" }, text);
    }
    add(this.svg, "text", { x: (left + end) / 2, y: bottom + 34, "text-anchor": "middle" }, x.label);
    this.height = bottom + 42;
    if (!y) return;
    this.placeY = (value) => bottom - (value - y.low) / (y.high - y.low) * (bottom - top);
    for (const tick of ticksOf(y, 5)) {
      const at = this.placeY(tick);
      add(this.svg, "line", { x1: left, x2: end, y1: at, y2: at, class: "grid" });
      add(this.svg, "text", { x: left - 6, y: at + 4, "text-anchor": "end" }, y.percent ? percent(tick) : tick);
    }
    add(this.svg, "text", { x: 0, y: 12 }, y.label);
  }

  // A series' line through pixels, and its marks.
  paint(parent, series, line, dots, radius) {
    const group = add(parent, "g", { class: `series c${series.colour % 6}` });
    if (series.points.length > 1 && this.spec.kind === "lines") {
      const to = ([x, y], i) => (i === 0 ? `M${x},${y}` : series.step ? `H${x}V${y}` : `L${x},${y}`);
      add(group, "path", { d: line.map(to).join(""), class: series.dashed ? "line dashed" : "line" });
    }
    for (const [x, y] of dots) add(group, "path", { d: shapeOf(series)(x, y, radius), class: "dot" });
    return group;
  }

  // Whether a series' points are marked: not steps, nor so many that they would hide their line.
  dotted({ points, step }) {
    return this.spec.kind !== "lines" || points.length === 1 || (!step && points.length <= 20);
  }

  lines(shown) {
    const box = { left: 46, top: 24, bottom: 254, right: 14 }, { x, y } = this.spec;
    this.axes(box);
    for (const [x0, y0, x1, y1, label] of this.spec.guides) {
      const [from, to] = [[x0, y0], [x1, y1]].map(([a, b]) => [this.placeX(a), this.placeY(b)]);
      add(this.svg, "line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "guide" });
    }
    const inside = (point) => point[0] >= x.low && point[0] <= x.high && point[1] >= y.low && point[1] <= y.high;
    for (const series of shown) {
      const place = (point) => [this.placeX(Math.min(point[0], x.high)), this.placeY(Math.min(point[1], y.high))];
      const outside = series.points.findIndex((point) => point[0] > x.high);
      const line = outside < 0 ? series.points : series.points.slice(0, outside + 1);
      const seen = series.points.filter(inside);
      const dots = this.dotted(series) ? seen.map(place) : [];
      this.paint(this.svg, series, line.map(place), dots, seen.length === 1 ? 6 : 3.5);
      for (const point of seen) {
        const [left, top] = place(point);
        this.marks.push({ x: left, y: top, tip: point[2], series });
      }
    }
    this.names();
  }

  // What the guides are, at a vertical one's head and near a slanted one's foot.
  names() {
    for (const [x0, y0, x1, y1, label] of this.spec.guides) {
      const share = x0 === x1 ? 1 : 0.8;
      const x = this.placeX(x0 + share * (x1 - x0)), y = this.placeY(y0 + share * (y1 - y0));
      const late = x > this.width * 0.7;
      add(this.svg, "text", { x: x + (late ? -8 : 6), y: y + (share < 1 ? -2 : 12),
        "text-anchor": late ? "end" : "start" }, label);
    }
  }

  // Points of two values, without lines.
  places(shown) {
    this.lines(shown);
  }

  ranges(shown) {
    const { rows } = this.spec, lane = 14;
    let y = 18;
    const places = rows.map((_, row) => {
      const own = shown.filter((series) => series.points.some((point) => point[1] === row));
      const place = { head: y, lanes: own.map((series, i) => [series, y + 12 + i * lane]) };
      y += 24 + Math.max(own.length, 1) * lane;
      return place;
    });
    this.axes({ left: 8, top: 4, bottom: y - 8 });
    for (const [row, { head, lanes }] of places.entries()) {
      add(this.svg, "text", { x: 8, y: head, class: "row" }, rows[row]);
      for (const [series, middle] of lanes) {
        for (const [value, , tip, low, high] of series.points.filter((point) => point[1] === row)) {
          const x = this.placeX(value);
          const group = this.paint(this.svg, series, [], [[x, middle]], 4.5);
          add(group, "line", { x1: this.placeX(low), x2: this.placeX(high), y1: middle, y2: middle, class: "whisker" });
          this.marks.push({ x, y: middle, tip, series });
        }
      }
    }
  }

  // Columns by value, in each the marks side by side from the bottom up.
  dots(shown) {
    const left = 8, room = this.width - 16, column = room / BINS;
    const across = Math.max(1, Math.floor(column / (this.width > 600 ? 12 : 7)));
    const pitch = Math.min(column / across, 12);
    const columns = Array.from({ length: BINS }, () => []);
    for (const series of shown) {
      for (const [value, , tip] of series.points) {
        columns[Math.min(Math.floor(value * BINS + 1e-9), BINS - 1)].push({ series, value, tip });
      }
    }
    const most = Math.max(...columns.map((own) => own.length), across);
    const top = 46, bottom = top + Math.max(Math.ceil(most / across) * pitch + 8, 60);
    this.axes({ left, top, bottom, right: 8 });
    const all = columns.flat();
    for (const [name, low, high] of this.spec.zones) {
      const own = all.filter(({ value }) => value >= low && (value < high || high === 1)).length;
      const middle = this.placeX((low + high) / 2);
      add(this.svg, "text", { x: middle, y: 14, "text-anchor": "middle", class: "zone" }, name);
      add(this.svg, "text", { x: middle, y: 34, "text-anchor": "middle", class: "count" }, own);
      if (low) add(this.svg, "line", { x1: this.placeX(low), x2: this.placeX(low), y1: 2, y2: bottom, class: "guide" });
    }
    for (const [number, own] of columns.entries()) {
      const start = left + number * column + (column - across * pitch) / 2;
      for (const [place, { series, tip }] of own.entries()) {
        const x = start + (place % across + 0.5) * pitch;
        const y = bottom - 4 - (Math.floor(place / across) + 0.5) * pitch;
        this.paint(this.svg, series, [], [[x, y]], pitch * 0.36);
        this.marks.push({ x, y, tip, series });
      }
    }
  }
}

// Draw every chart below an element.
function drawCharts(root) {
  for (const place of root.querySelectorAll("[data-charts]")) {
    place.replaceChildren(...JSON.parse(place.dataset.charts).map((spec) => new Chart(spec).figure));
  }
}
