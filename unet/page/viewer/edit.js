// A mask that a person corrects. Each step is the runs of pixels that it turned over, so that turning
// them over again takes it back, bit for bit.

class MaskEditor {
  constructor(mask, width, height) {
    Object.assign(this, { mask, width, height });
    this.network = mask.slice(); // the network's own, to go back to
    this.before = null; // the mask before a stroke, while one is drawn
    this.steps = [];
    this.done = 0; // how many of the steps are not taken back
  }

  get edited() {
    return this.before !== null || this.done > 0 && this.mask.some((v, i) => v !== this.network[i]);
  }

  // ---- steps ----

  begin() {
    this.before = this.mask.slice();
  }

  // Make what has changed since `begin` a step; false where nothing has.
  end() {
    const runs = [];
    const { mask, before } = this;
    for (let i = 0; i < mask.length; i++) {
      if (mask[i] === before[i]) continue;
      const start = i;
      while (i < mask.length && mask[i] !== before[i]) i++;
      runs.push(start, i);
    }
    this.before = null;
    if (!runs.length) return false;
    this.steps.length = this.done;
    this.steps.push(Uint32Array.from(runs));
    this.done += 1;
    return true;
  }

  cancel() {
    if (this.before) this.mask.set(this.before);
    this.before = null;
  }

  undo() {
    if (!this.done) return false;
    this.done -= 1;
    this.turn(this.steps[this.done]);
    return true;
  }

  redo() {
    if (this.done === this.steps.length) return false;
    this.turn(this.steps[this.done]);
    this.done += 1;
    return true;
  }

  turn(runs) {
    for (let k = 0; k < runs.length; k += 2) {
      for (let i = runs[k]; i < runs[k + 1]; i++) this.mask[i] ^= 1;
    }
  }

  // A change of the whole mask, as one step.
  change(make) {
    this.begin();
    make(this.mask);
    return this.end();
  }

  reset() {
    return this.change((mask) => mask.set(this.network));
  }

  // ---- drawing ----

  // All pixels whose middle lies within `radius` of the way from one point to another.
  brush([ax, ay], [bx, by], radius, value) {
    const { mask, width, height } = this;
    const reach = Math.max(radius, 0.5), dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
    const top = Math.max(0, Math.floor(Math.min(ay, by) - reach));
    const bottom = Math.min(height - 1, Math.ceil(Math.max(ay, by) + reach));
    const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
    const right = Math.min(width - 1, Math.ceil(Math.max(ax, bx) + reach));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const px = x + 0.5 - ax, py = y + 0.5 - ay;
        const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - t * dx, ey = py - t * dy;
        if (ex * ex + ey * ey <= reach * reach) mask[y * width + x] = value;
      }
    }
  }

  // All pixels whose middle lies in the polygon, by the even–odd rule.
  polygon(points, value) {
    const { mask, width, height } = this;
    const top = Math.max(0, Math.floor(Math.min(...points.map(([, y]) => y))));
    const bottom = Math.min(height - 1, Math.ceil(Math.max(...points.map(([, y]) => y))));
    for (let y = top; y <= bottom; y++) {
      const cuts = [];
      points.forEach(([ax, ay], i) => {
        const [bx, by] = points[(i + 1) % points.length];
        const middle = y + 0.5;
        if ((ay <= middle) !== (by <= middle)) cuts.push(ax + (middle - ay) / (by - ay) * (bx - ax));
      });
      cuts.sort((a, b) => a - b);
      for (let k = 0; k + 1 < cuts.length; k += 2) {
        const from = Math.max(0, Math.ceil(cuts[k] - 0.5));
        const to = Math.min(width, Math.ceil(cuts[k + 1] - 0.5));
        if (to > from) mask.fill(value, y * width + from, y * width + to);
      }
    }
  }

  // The region under a point goes; false where there is none.
  removeRegion(x, y) {
    const { mask, width, height } = this;
    if (x < 0 || y < 0 || x >= width || y >= height || !mask[y * width + x]) return false;
    return this.change(() => flood(mask, width, height, [y * width + x], 1, 0, true));
  }

  // ---- the whole mask ----

  fillHoles() {
    return this.change((mask) => {
      const { width, height } = this;
      const border = [];
      for (let x = 0; x < width; x++) border.push(x, (height - 1) * width + x);
      for (let y = 0; y < height; y++) border.push(y * width, (y + 1) * width - 1);
      const outside = mask.slice();
      flood(outside, width, height, border.filter((i) => !mask[i]), 0, 2, false);
      for (let i = 0; i < mask.length; i++) if (!outside[i]) mask[i] = 1;
    });
  }

  // Each pixel as most of the 5 × 5 about it.
  smooth() {
    return this.change((mask) => {
      const { width, height } = this;
      const sums = new Uint32Array((width + 1) * (height + 1));
      for (let y = 0; y < height; y++) {
        let row = 0;
        for (let x = 0; x < width; x++) {
          row += mask[y * width + x];
          sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
        }
      }
      for (let y = 0; y < height; y++) {
        const t = Math.max(0, y - 2) * (width + 1), b = Math.min(height, y + 3) * (width + 1);
        for (let x = 0; x < width; x++) {
          const l = Math.max(0, x - 2), r = Math.min(width, x + 3);
          const inside = sums[b + r] - sums[b + l] - sums[t + r] + sums[t + l];
          mask[y * width + x] = 2 * inside > (b - t) / (width + 1) * (r - l) ? 1 : 0;
        }
      }
    });
  }

  // A pixel more, or less, along the whole outline (of the four neighbours).
  grow(value) {
    return this.change((mask) => {
      const { width, height } = this, old = mask.slice();
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const i = y * width + x;
          if (old[i] === value) continue;
          if ((x > 0 && old[i - 1] === value) || (x + 1 < width && old[i + 1] === value)
            || (y > 0 && old[i - width] === value)
            || (y + 1 < height && old[i + width] === value)) mask[i] = value;
        }
      }
    });
  }
}

// Give all pixels of one value that hang together with the seeds another; by corners too if `corners`.
function flood(pixels, width, height, seeds, from, to, corners) {
  const waiting = seeds.filter((i) => pixels[i] === from);
  for (const i of waiting) pixels[i] = to;
  while (waiting.length) {
    const i = waiting.pop(), x = i % width, y = (i - x) / width;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (!corners && dx && dy) continue;
        const nx = x + dx, ny = y + dy;
        if (nx < 0 || ny < 0 || nx >= width || ny >= height) continue;
        const next = ny * width + nx;
        if (pixels[next] !== from) continue;
        pixels[next] = to;
        waiting.push(next);
      }
    }
  }
}

// Lengths of runs, row after row: as many pixels without, with, without… The way masks are sent.
function runsOf(mask) {
  const runs = [];
  for (let i = 0, value = 0; i < mask.length; value ^= 1) {
    const start = i;
    while (i < mask.length && mask[i] === value) i++;
    runs.push(i - start);
  }
  return runs;
}

function maskOfRuns(runs, size) {
  const whole = Array.isArray(runs) && runs.every((n) => Number.isInteger(n) && n >= 0);
  if (!whole || runs.reduce((a, b) => a + b, 0) !== size) return null;
  const mask = new Uint8Array(size);
  runs.reduce((at, length, k) => {
    if (k % 2) mask.fill(1, at, at + length);
    return at + length;
  }, 0);
  return mask;
}
