// What a person points at, as a network is shown it: the same as unet/core/prompts.py.

const RADIUS = 3 / 160, CLOSER = 0.5, AROUND = 1.5, LARGEST = 0.75, RAMP = 0.15;

// Prompts within the picture, boxes from their left top to their right bottom corner, however drawn.
export function within({ positive, negative, boxes }, width, height) {
  const clipped = ([x, y]) => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  const strokes = (all) => all.map((stroke) => stroke.map(clipped));
  return { positive: strokes(positive), negative: strokes(negative), boxes: boxes.map(([a, b, c, d]) => [
    ...clipped([Math.min(a, c), Math.min(b, d)]), ...clipped([Math.max(a, c), Math.max(b, d)])]) };
}

// Prompts as two maps of the network's: [lesion here, not here], Float32Array of size × size each.
export function drawPrompts({ positive, negative, boxes }, height, width, size) {
  const maps = [new Float32Array(size * size), new Float32Array(size * size)];
  const sx = size / width, sy = size / height;
  [positive, negative].forEach((strokes, channel) => {
    for (const stroke of strokes) {
      const points = stroke.map(([x, y]) => [x * sx, y * sy]);
      if (points.length === 1) drawLine(maps[channel], size, points[0], points[0]);
      points.slice(1).forEach((point, i) => drawLine(maps[channel], size, points[i], point));
    }
  });
  if (!boxes.length) return maps;
  const line = (low, high) => {
    const within = Array.from({ length: size }, (_, i) => i + 0.5 >= low && i + 0.5 <= high);
    // A box between two middles would leave nothing of the picture.
    if (!within.includes(true)) within[Math.min(Math.floor((low + high) / 2), size - 1)] = true;
    return within;
  };
  const lines = boxes.map(([left, top, right, bottom]) => [line(left * sx, right * sx),
    line(top * sy, bottom * sy)]);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (!lines.some(([columns, rows]) => columns[x] && rows[y])) maps[1][y * size + x] = 1;
    }
  }
  return maps;
}

function drawLine(map, size, [ax, ay], [bx, by]) {
  const reach = Math.max(1, size * RADIUS), dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
  const within = (v) => Math.min(Math.max(v, 0), size);
  const top = within(Math.floor(Math.min(ay, by) - reach));
  const bottom = within(Math.ceil(Math.max(ay, by) + reach));
  const left = within(Math.floor(Math.min(ax, bx) - reach));
  const right = within(Math.ceil(Math.max(ax, bx) + reach));
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const px = x + 0.5 - ax, py = y + 0.5 - ay;
      const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const ex = px - along * dx, ey = py - along * dy;
      if (ex * ex + ey * ey <= reach * reach) map[y * size + x] = 1;
    }
  }
}

// The part of a picture that is worth a look of its own: [left, top, right, bottom], or null.
export function closerLook({ positive, boxes }, height, width) {
  const points = [...positive.flat(), ...boxes.flatMap(([a, b, c, d]) => [[a, b], [c, d]])];
  if (!points.length) return null;
  const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
  const high = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
  return windowAround(low, high, height, width, AROUND, CLOSER);
}

// The window about a region, in the picture's proportions and inside it; null for a region so large
// that the whole picture shows it as well. As unet/core/windows.py.
export function windowAround(low, high, height, width, around, smallest) {
  const sides = [width, height];
  const share = Math.max(smallest, around * Math.max(...sides.map((n, i) => (high[i] - low[i]) / n)));
  if (share > LARGEST) return null;
  const size = sides.map((n) => Math.max(1, Math.floor(share * n + 0.5)));
  const start = sides.map((n, i) => Math.min(Math.max(
    Math.floor((low[i] + high[i] - size[i]) / 2 + 0.5), 0), n - size[i]));
  return [...start, start[0] + size[0], start[1] + size[1]];
}

// Prompts in pixels of a window; strokes that do not enter it are left out.
export function seenIn({ positive, negative, boxes }, [left, top, right, bottom]) {
  const enters = (stroke) => stroke.some(([bx, by], i) => {
    const [ax, ay] = stroke[Math.max(0, i - 1)]; // it may cross between two points
    return Math.max(ax, bx) >= left && Math.min(ax, bx) <= right && Math.max(ay, by) >= top
      && Math.min(ay, by) <= bottom;
  });
  const moved = (strokes) => strokes.filter(enters).map(
    (stroke) => stroke.map(([x, y]) => [x - left, y - top]));
  return { positive: moved(positive), negative: moved(negative),
    boxes: boxes.map(([a, b, c, d]) => [a - left, b - top, c - left, d - top]) };
}

// The answer for a picture and that of a closer look, averaged where both see.
export function blended(whole, width, closer, [left, top, right, bottom], weight = 0.5) {
  const result = whole.slice(), w = right - left, h = bottom - top;
  const fade = (i, n) => Math.min(1, Math.min(i + 0.5, n - i - 0.5) / (RAMP * n));
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const at = (top + y) * width + left + x;
      result[at] += weight * Math.min(fade(y, h), fade(x, w)) * (closer[y * w + x] - whole[at]);
    }
  }
  return result;
}

// A stroke's points with others between them, at most a pixel apart.
function wayOf(stroke) {
  return stroke.flatMap(([bx, by], i) => {
    if (!i) return [[bx, by]];
    const [ax, ay] = stroke[i - 1];
    const steps = Math.max(1, Math.ceil(Math.max(Math.abs(bx - ax), Math.abs(by - ay))));
    return Array.from({ length: steps },
      (_, k) => [ax + (bx - ax) * ((k + 1) / steps), ay + (by - ay) * ((k + 1) / steps)]);
  });
}

// A map without the regions that nobody points at: just below what counts as lesion. Filled from
// what is pointed at; where that is no region, the map stays as it is.
export function onlyPointedAt(probability_u8, width, height, { positive, boxes }, least) {
  const kept = new Uint8Array(probability_u8.length), open = [];
  const enter = (x, y) => {
    const at = y * width + x;
    if (kept[at] || probability_u8[at] < least) return;
    kept[at] = 1;
    open.push(at);
  };
  for (const [x, y] of positive.flatMap(wayOf)) {
    enter(Math.min(Math.floor(x), width - 1), Math.min(Math.floor(y), height - 1));
  }
  for (const [left, top, right, bottom] of boxes) {
    for (let y = Math.floor(top); y < Math.min(height, Math.ceil(bottom)); y++) {
      for (let x = Math.floor(left); x < Math.min(width, Math.ceil(right)); x++) enter(x, y);
    }
  }
  if (!open.length) return probability_u8;
  while (open.length) {
    const at = open.pop(), x = at % width, y = (at - x) / width;
    for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
      for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) enter(u, v);
    }
  }
  return probability_u8.map((value, at) => (kept[at] || value < least ? value : least - 1));
}
