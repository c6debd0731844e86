// What a threshold makes of a probability map. The same integer rules as unet/core/mask.py
// and unet/core/regions.py; the browser tests compare both, pixel by pixel.

// The 8-bit level that stands for a probability, halves up.
function levelOf(probability) {
  return Math.floor(probability * 255 + 0.5);
}

// Running count of truth pixels: sums[i] = how many of the first i pixels are set.
function prefixSums(mask) {
  const sums = new Uint32Array(mask.length + 1);
  for (let i = 0; i < mask.length; i++) sums[i + 1] = sums[i] + (mask[i] ? 1 : 0);
  return sums;
}

// Horizontal runs of pixels at or above `level`, with 8-connected region labels (union-find over
// runs, so the cost follows the outline and not the area).
function labelRuns(probability_u8, width, height, level) {
  const row = [], start = [], end = [], parent = [];
  const find = (i) => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  let above = 0, aboveEnd = 0; // the previous row's runs
  for (let y = 0; y < height; y++) {
    const offset = y * width;
    const first = row.length;
    let candidate = above;
    for (let x = 0; x < width; x++) {
      if (probability_u8[offset + x] < level) continue;
      const from = x;
      while (x < width && probability_u8[offset + x] >= level) x++;
      const run = row.length;
      row.push(y); start.push(from); end.push(x); parent.push(run);
      while (candidate < aboveEnd && end[candidate] < from) candidate++;
      for (let k = candidate; k < aboveEnd && start[k] <= x; k++) {
        const a = find(k), b = find(run);
        if (a !== b) parent[Math.max(a, b)] = Math.min(a, b);
      }
    }
    above = first;
    aboveEnd = row.length;
  }
  const label = parent.map((_, i) => find(i));
  return { row, start, end, label };
}

// The mask of a map at a threshold, as runs, with what the network's rules took away; where a gate
// lets no mask through, `withheld` has the runs that are still to be looked at.
function segmentMap(probability_u8, width, height, postprocessing, threshold, peak, presence = null) {
  const level = levelOf(threshold);
  const absent = presence !== null && presence < postprocessing.min_presence;
  const gated = absent || peak < levelOf(postprocessing.min_peak);
  const runs = labelRuns(probability_u8, width, height, level);
  const area = new Map();
  for (let i = 0; i < runs.row.length; i++) {
    const key = runs.label[i];
    area.set(key, (area.get(key) || 0) + runs.end[i] - runs.start[i]);
  }
  const smallest = postprocessing.min_area * (width * height); // the order of Python's floats
  const kept = [];
  let pixels = 0, dropped = 0;
  for (const size of area.values()) {
    if (size >= smallest) pixels += size;
    else dropped += 1;
  }
  for (let i = 0; i < runs.row.length; i++) {
    if (area.get(runs.label[i]) >= smallest) {
      kept.push({ y: runs.row[i], x0: runs.start[i], x1: runs.end[i], label: runs.label[i] });
    }
  }
  if (!gated) return { runs: kept, withheld: [], pixels, dropped, gated, absent, level };
  const unsure = presence === null || presence >= (postprocessing.unsure_presence || 0);
  return { runs: [], withheld: unsure ? kept : [], pixels: 0, dropped: 0, gated, absent, level };
}

// uint8 of width × height, 1 where the runs are.
function maskOf(runs, width, height) {
  const mask = new Uint8Array(width * height);
  for (const run of runs) mask.fill(1, run.y * width + run.x0, run.y * width + run.x1);
  return mask;
}

// Closed polygons along pixel edges, corners only, the mask on the right-hand side.
function outlines(mask, width, height) {
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
  const leaving = new Map(); // corner → directions [dx, dy]
  const add = (x, y, dx, dy) => {
    const key = y * (width + 1) + x;
    if (!leaving.has(key)) leaving.set(key, []);
    leaving.get(key).push([dx, dy]);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!at(x, y)) continue;
      if (!at(x, y - 1)) add(x, y, 1, 0);
      if (!at(x + 1, y)) add(x + 1, y, 0, 1);
      if (!at(x, y + 1)) add(x + 1, y + 1, -1, 0);
      if (!at(x - 1, y)) add(x, y + 1, 0, -1);
    }
  }
  const found = [];
  while (leaving.size) {
    const start = leaving.keys().next().value;
    let corner = start, step = null;
    const outline = [];
    while (step === null || corner !== start || leaving.has(corner)) {
      const choices = leaving.get(corner);
      if (!choices) break;
      // Where two outlines touch at a corner, turn left: regions joined by a corner are one.
      const left = step && choices.findIndex(([dx, dy]) => dx === step[1] && dy === -step[0]);
      const [out] = choices.splice(step && choices.length > 1 && left >= 0 ? left : 0, 1);
      if (!choices.length) leaving.delete(corner);
      if (!step || out[0] !== step[0] || out[1] !== step[1]) {
        outline.push([corner % (width + 1), Math.floor(corner / (width + 1))]);
      }
      step = out;
      corner += step[1] * (width + 1) + step[0];
    }
    found.push(outline);
  }
  return found;
}

// Area, extent and probability of each region, largest first.
function measureRegions(segmented, probability_u8, width, height, spacing) {
  const regions = new Map();
  for (const run of segmented.runs) {
    let r = regions.get(run.label);
    if (!r) {
      r = { area: 0, sum: 0, peak: 0, left: run.x0, right: run.x1, top: run.y, bottom: run.y + 1,
        corners: [] };
      regions.set(run.label, r);
    }
    r.area += run.x1 - run.x0;
    r.left = Math.min(r.left, run.x0);
    r.right = Math.max(r.right, run.x1);
    r.bottom = run.y + 1;
    for (let i = run.y * width + run.x0; i < run.y * width + run.x1; i++) {
      r.sum += probability_u8[i];
      if (probability_u8[i] > r.peak) r.peak = probability_u8[i];
    }
    for (const y of [run.y, run.y + 1]) r.corners.push([run.x0, y], [run.x1, y]);
  }
  return [...regions.values()].sort((a, b) => b.area - a.area).map((r) => {
    const hull = convexHull(r.corners);
    const [longest, perpendicular] = diameters(hull);
    const region = {
      area_px: r.area, share: r.area / (width * height),
      box_px: [r.left, r.top, r.right - r.left, r.bottom - r.top],
      longest_px: longest, perpendicular_px: perpendicular,
      depth_px: r.top, height_to_width: (r.bottom - r.top) / (r.right - r.left),
      mean_probability: r.sum / r.area / 255, peak_probability: r.peak / 255,
      area_mm2: null, longest_mm: null, perpendicular_mm: null, depth_mm: null,
    };
    if (spacing) {
      const [height_mm, width_mm] = spacing;
      const scaled = hull.map(([x, y]) => [x * width_mm, y * height_mm]);
      region.area_mm2 = r.area * height_mm * width_mm;
      [region.longest_mm, region.perpendicular_mm] = diameters(scaled);
      region.depth_mm = r.top * height_mm;
      region.height_to_width = (r.bottom - r.top) * height_mm / ((r.right - r.left) * width_mm);
    }
    return region;
  });
}

// Andrew's monotone chain.
function convexHull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (list) => {
    const chain = [];
    for (const p of list) {
      while (chain.length > 1 && turn(chain[chain.length - 2], chain[chain.length - 1], p) <= 0) {
        chain.pop();
      }
      chain.push(p);
    }
    chain.pop();
    return chain;
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

// The longest distance between two corners, and the extent across it.
function diameters(hull) {
  let longest = 0, along = [1, 0];
  for (let i = 0; i < hull.length; i++) {
    for (let j = i + 1; j < hull.length; j++) {
      const dx = hull[j][0] - hull[i][0], dy = hull[j][1] - hull[i][1];
      const length = Math.hypot(dx, dy);
      if (length > longest) {
        longest = length;
        along = [dx / length, dy / length];
      }
    }
  }
  const across = hull.map(([x, y]) => y * along[0] - x * along[1]);
  return [longest, Math.max(...across) - Math.min(...across)];
}

// Dice, IoU, precision and recall against the truth; two empty masks count as 1, one as 0.
function compareWithTruth(segmented, truth, width) {
  let hits = 0;
  for (const run of segmented.runs) {
    const offset = run.y * width;
    hits += truth.sums[offset + run.x1] - truth.sums[offset + run.x0];
  }
  const given = segmented.pixels, wanted = truth.pixels;
  if (given === 0 && wanted === 0) return { dice: 1, iou: 1, precision: 1, recall: 1 };
  return {
    dice: 2 * hits / (given + wanted),
    iou: hits / (given + wanted - hits),
    precision: given ? hits / given : 0,
    recall: wanted ? hits / wanted : 0,
  };
}

// 95 % Hausdorff distance in pixels, as unet.core.metrics.hausdorff_95 defines it.
function hausdorff95(segmented, truth, width, height) {
  if (!segmented.pixels || !truth.pixels) {
    return segmented.pixels === truth.pixels ? 0 : Infinity;
  }
  const mask = new Uint8Array(width * height);
  let [left, top, right, bottom] = truth.box;
  for (const run of segmented.runs) {
    mask.fill(1, run.y * width + run.x0, run.y * width + run.x1);
    left = Math.min(left, run.x0); right = Math.max(right, run.x1);
    top = Math.min(top, run.y); bottom = Math.max(bottom, run.y + 1);
  }
  const w = right - left, h = bottom - top;
  const edgeOf = (source) => {
    const at = (x, y) => x >= left && x < right && y >= top && y < bottom && source[y * width + x];
    const edge = new Uint8Array(w * h);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        if (at(x, y) && !(at(x - 1, y) && at(x + 1, y) && at(x, y - 1) && at(x, y + 1))) {
          edge[(y - top) * w + x - left] = 1;
        }
      }
    }
    return edge;
  };
  const a = edgeOf(mask), b = edgeOf(truth.mask);
  const directed = (from, to) => {
    const squared = squaredDistances(to, w, h);
    const values = [];
    for (let i = 0; i < from.length; i++) if (from[i]) values.push(Math.sqrt(squared[i]));
    return percentile(values, 95);
  };
  return Math.max(directed(a, b), directed(b, a));
}

// Squared distance of each pixel to the nearest set one (Felzenszwalb and Huttenlocher, 2012).
function squaredDistances(set, w, h) {
  const far = 1e12;
  const field = Float64Array.from(set, (v) => (v ? 0 : far));
  const longest = Math.max(w, h);
  const line = new Float64Array(longest), out = new Float64Array(longest);
  const apex = new Int32Array(longest), bound = new Float64Array(longest + 1);
  const transform = (n, offset, stride) => {
    for (let i = 0; i < n; i++) line[i] = field[offset + i * stride];
    let k = 0;
    apex[0] = 0; bound[0] = -Infinity; bound[1] = Infinity;
    for (let q = 1; q < n; q++) {
      const meet = () => (line[q] + q * q - line[apex[k]] - apex[k] * apex[k]) / (2 * (q - apex[k]));
      while (meet() <= bound[k]) k--;
      const s = meet();
      k++;
      apex[k] = q; bound[k] = s; bound[k + 1] = Infinity;
    }
    k = 0;
    for (let q = 0; q < n; q++) {
      while (bound[k + 1] < q) k++;
      out[q] = (q - apex[k]) ** 2 + line[apex[k]];
    }
    for (let i = 0; i < n; i++) field[offset + i * stride] = out[i];
  };
  for (let x = 0; x < w; x++) transform(h, x, w);
  for (let y = 0; y < h; y++) transform(w, y * w, 1);
  return field;
}

// Linear interpolation between the closest ranks, as NumPy does it.
function percentile(values, percent) {
  values.sort((a, b) => a - b);
  const rank = (values.length - 1) * percent / 100;
  const low = Math.floor(rank), high = Math.ceil(rank);
  return values[low] + (values[high] - values[low]) * (rank - low);
}
