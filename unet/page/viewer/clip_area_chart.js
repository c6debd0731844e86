// The lesion's area over the frames of a clip: how large at each threshold, and the plot.

// The mask's pixels at each of the 256 levels, as segmentMap gives them: pixels join from the highest
// probability down, and a region counts from where it is large enough.
function areasByLevel({ probability_u8, width, height, postprocessing, presence }) {
  const areas = new Uint32Array(256);
  const peak = probability_u8.reduce((a, b) => Math.max(a, b), 0);
  const absent = presence !== null && presence < postprocessing.min_presence;
  if (absent || peak < levelOf(postprocessing.min_peak)) return areas;
  const smallest = postprocessing.min_area * (width * height);
  const parent = new Int32Array(probability_u8.length).fill(-1), size = new Int32Array(probability_u8.length);
  const rootOf = (i) => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  let total = 0;
  const counted = (pixels) => (pixels >= smallest ? pixels : 0);
  const join = (a, b) => {
    if (size[a] < size[b]) [a, b] = [b, a];
    total += counted(size[a] + size[b]) - counted(size[a]) - counted(size[b]);
    parent[b] = a;
    size[a] += size[b];
    return a;
  };
  const places = byLevel(probability_u8);
  let next = 0;
  for (let level = 255; level > 0; level--) {
    for (; next < places.length && probability_u8[places[next]] === level; next++) {
      const i = places[next], x = i % width;
      parent[i] = i;
      size[i] = 1;
      total += counted(1);
      let root = i;
      for (let dy = i < width ? 0 : -1; dy <= 1; dy++) {
        for (let dx = x ? -1 : 0; dx <= (x + 1 < width ? 1 : 0); dx++) {
          const j = i + dy * width + dx;
          if (j >= probability_u8.length || parent[j] < 0) continue;
          const other = rootOf(j);
          if (other !== root) root = join(root, other);
        }
      }
    }
    areas[level] = total;
  }
  areas[0] = probability_u8.length; // every pixel reaches 0
  return areas;
}

// Places of the pixels above 0, the highest first.
function byLevel(probability_u8) {
  const count = new Uint32Array(256);
  for (const v of probability_u8) count[v] += 1;
  const start = new Uint32Array(256);
  for (let level = 254; level >= 0; level--) start[level] = start[level + 1] + count[level + 1];
  const places = new Uint32Array(start[0]);
  for (let i = 0; i < probability_u8.length; i++) if (probability_u8[i]) places[start[probability_u8[i]]++] = i;
  return places;
}

const PLOT = { height: 132, left: 52, right: 12, top: 10, bottom: 22 };

// The area of each frame as a line. `points` has { area, edited } by frame, null where it is not known.
class AreaPlot {
  constructor(figure, chosen) {
    this.figure = figure;
    this.svg = figure.querySelector("svg");
    this.chosen = chosen;
    this.points = [];
    this.now = 0;
    this.cursor = null; // the frame that is pointed at
    new ResizeObserver(() => this.draw()).observe(this.svg.parentElement);
    const { svg } = this;
    svg.addEventListener("pointermove", (event) => this.point(this.frameAt(event)));
    svg.addEventListener("pointerdown", (event) => this.point(this.frameAt(event)));
    for (const name of ["pointerleave", "blur"]) svg.addEventListener(name, () => this.point(null));
    svg.addEventListener("click", (event) => this.chosen(this.frameAt(event)));
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  show(points, now, unit) {
    Object.assign(this, { points, now, unit });
    this.draw();
  }

  frameAt(event) {
    const box = this.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - PLOT.left) / (box.width - PLOT.left - PLOT.right);
    const last = this.points.length - 1;
    return Math.min(last, Math.max(0, Math.round(share * last)));
  }

  point(frame) {
    this.cursor = frame;
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.points.length - 1, from = this.cursor ?? this.now;
    const to = { ArrowRight: from + 1, ArrowUp: from + 1, ArrowLeft: from - 1, ArrowDown: from - 1,
      Home: 0, End: last }[event.key];
    if (to !== undefined) this.point(Math.min(last, Math.max(0, to)));
    else if (event.key === "Enter") this.chosen(from);
    else return;
    event.preventDefault();
  }

  textOf(frame) {
    const point = this.points[frame];
    const area = point ? this.unit.text(point.area) : "not segmented yet";
    return `Frame ${frame + 1}: ${area}${point && point.edited ? ", edited by hand" : ""}`;
  }

  draw() {
    const { svg, points, now, cursor } = this;
    const width = svg.parentElement.clientWidth;
    if (!points.length || !width) return;
    const bottom = PLOT.height - PLOT.bottom, right = width - PLOT.right;
    const highest = niceAbove(Math.max(...points.map((point) => (point ? point.area : 0))));
    const x = (frame) => PLOT.left + frame / (points.length - 1) * (right - PLOT.left);
    const y = (area) => bottom - area / highest * (bottom - PLOT.top);
    const grid = [0, highest / 2, highest].map((area) => `<line x1="${PLOT.left}" x2="${right}" `
      + `y1="${y(area)}" y2="${y(area)}" class="grid"/><text x="${PLOT.left - 6}" y="${y(area) + 4}" `
      + `text-anchor="end">${this.unit.tick(area)}</text>`).join("");
    const ticks = ticksOf(points.length, Math.max(2, Math.floor(width / 70))).map((frame) =>
      `<text x="${x(frame)}" y="${PLOT.height - 6}" text-anchor="middle">${frame + 1}</text>`).join("");
    const edited = points.map((point, frame) => (point && point.edited
      ? `<path class="edited" d="M0-5 5 0 0 5-5 0Z" transform="translate(${x(frame)} ${y(point.area)})"/>`
      : "")).join("");
    const here = points[now] ? `<circle class="here" r="4.5" cx="${x(now)}" cy="${y(points[now].area)}"/>` : "";
    svg.setAttribute("viewBox", `0 0 ${width} ${PLOT.height}`);
    svg.setAttribute("height", PLOT.height);
    svg.innerHTML = `${grid}${ticks}<path class="line" d="${lineThrough(points, x, y)}"/>`
      + `<line class="now" x1="${x(now)}" x2="${x(now)}" y1="${PLOT.top}" y2="${bottom}"/>${here}${edited}`
      + (cursor === null ? "" : this.label(cursor, x(cursor), bottom, right));
    svg.setAttribute("aria-valuemax", points.length);
    svg.setAttribute("aria-valuenow", (cursor ?? now) + 1);
    svg.setAttribute("aria-valuetext", this.textOf(cursor ?? now));
  }

  // What is said of the frame that is pointed at, kept inside the plot.
  label(frame, x, bottom, right) {
    const text = this.textOf(frame), half = text.length * 3.4 + 8;
    const middle = Math.min(right - half, Math.max(PLOT.left + half, x));
    return `<line class="cursor" x1="${x}" x2="${x}" y1="${PLOT.top}" y2="${bottom}"/><g class="label">`
      + `<rect x="${middle - half}" y="1" width="${2 * half}" height="19" rx="4"/>`
      + `<text x="${middle}" y="15" text-anchor="middle">${text}</text></g>`;
  }
}

// A line through neighbours that are known; a point that has none is a short stroke.
function lineThrough(points, x, y) {
  return points.map((point, frame) => {
    if (!point) return "";
    const at = `${x(frame).toFixed(1)} ${y(point.area).toFixed(1)}`;
    return points[frame - 1] ? `L${at}` : `M${at}h0.1`;
  }).join("");
}

// 1, 2 or 5 times a power of ten, not below a value.
function niceAbove(value) {
  if (!(value > 0)) return 1;
  const ten = 10 ** Math.floor(Math.log10(value));
  return ten * [1, 2, 5, 10].find((factor) => factor * ten >= value);
}

// Frames to be numbered: the first, the last, and some at equal steps between, with room for each.
function ticksOf(frames, most) {
  const step = Math.ceil((frames - 1) / (most - 1)), last = frames - 1;
  const ticks = [];
  for (let frame = 0; frame < last - step / 2; frame += step) ticks.push(frame);
  return [...ticks, last];
}
