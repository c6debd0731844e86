// Painting: the layer over the image, the outline, and what is drawn in screen pixels.

const LESION = [255, 176, 0];
// Of a second answer beside the first, and of what both mark.
const SECOND = [86, 180, 233], BOTH = [240, 240, 240];
const AGREEMENT = { hit: [0, 158, 115], miss: [0, 114, 178], alarm: [213, 94, 0] };
// Nine stops of the "inferno" colour map (van der Walt and Smith), dark to bright.
const HEAT = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51],
  [249, 140, 10], [249, 201, 50], [252, 255, 164]];

function pixelOf([r, g, b], alpha = 255) {
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0; // canvases are little-endian RGBA
}

function heatColour(value) {
  const at = value / 255 * (HEAT.length - 1), i = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[i].map((v, c) => Math.round(v + (HEAT[i + 1][c] - v) * (at - i)));
}

const HEAT_PIXELS = Uint32Array.from({ length: 256 }, (_, v) => pixelOf(heatColour(v)));

// Fill the layer's pixels (one uint32 each) for a mode. Transparent where the image shows.
function paintLayer(pixels, mode, scene) {
  const { width, probability_u8, truth, segmented } = scene;
  if (mode === "heat" || mode === "uncertainty") {
    const values = mode === "heat" ? probability_u8 : scene.disagreement_u8;
    for (let i = 0; i < pixels.length; i++) pixels[i] = HEAT_PIXELS[values[i]];
    return;
  }
  pixels.fill(mode === "mask" ? pixelOf([0, 0, 0]) : 0);
  if (mode === "agreement" && truth) {
    const miss = pixelOf(AGREEMENT.miss), hit = pixelOf(AGREEMENT.hit);
    const alarm = pixelOf(AGREEMENT.alarm);
    for (let i = 0; i < pixels.length; i++) if (truth.mask[i]) pixels[i] = miss;
    for (const run of segmented.runs) {
      for (let i = run.y * width + run.x0; i < run.y * width + run.x1; i++) {
        pixels[i] = truth.mask[i] ? hit : alarm;
      }
    }
  } else if (mode === "overlay" || mode === "mask") {
    const colour = pixelOf(mode === "mask" ? [255, 255, 255] : scene.colour || LESION);
    for (const run of segmented.runs) {
      pixels.fill(colour, run.y * width + run.x0, run.y * width + run.x1);
    }
  }
}

// What is painted of one answer: the layer over the picture, and the outlines.
class Painted {
  constructor(width, height) {
    this.layer = document.createElement("canvas");
    Object.assign(this.layer, { width, height });
    this.context = this.layer.getContext("2d");
    this.data = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.data.data.buffer);
  }

  // Bring it up to a mode and to the mask of a scene, where it is not yet.
  bring(mode, scene) {
    const { segmented } = scene;
    if (this.mode !== mode || this.segmented !== segmented) {
      if (mode !== "contour") {
        paintLayer(this.pixels, mode, scene);
        this.put();
      }
      this.mode = mode;
    }
    if (this.segmented === segmented) return;
    this.segmented = segmented;
    this.outline = outlinePath(segmented.runs);
    this.withheld = dashablePath(segmented.withheld, scene.width, scene.height);
  }

  put() {
    this.context.putImageData(this.data, 0, 0);
  }
}

// The mask's outline along pixel edges: the ends of each run, and the columns in which two
// neighbouring rows differ.
function outlinePath(runs) {
  const path = new Path2D();
  const rows = new Map();
  for (const run of runs) {
    if (!rows.has(run.y)) rows.set(run.y, []);
    rows.get(run.y).push(run);
    for (const x of [run.x0, run.x1]) {
      path.moveTo(x, run.y);
      path.lineTo(x, run.y + 1);
    }
  }
  const ends = (list) => (list || []).flatMap((run) => [run.x0, run.x1]);
  const between = (y, above, below) => {
    const cuts = [...ends(above), ...ends(below)].sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      if (cuts[i] === cuts[i + 1]) continue;
      path.moveTo(cuts[i], y);
      path.lineTo(cuts[i + 1], y);
    }
  };
  for (const [y, list] of rows) {
    between(y, rows.get(y - 1), list);
    if (!rows.has(y + 1)) between(y + 1, list, null);
  }
  return path;
}

// The same as closed polygons, so that dashes run along it.
function dashablePath(runs, width, height) {
  const path = new Path2D();
  if (!runs.length) return path;
  for (const corners of outlines(maskOf(runs, width, height), width, height)) {
    corners.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}

// A round length in millimetres that takes about a quarter of the stage.
function scaleBar(stageWidth, pixelsPerMm) {
  const wanted = stageWidth / 4 / pixelsPerMm;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const mm = [5, 2, 1].map((k) => k * power).find((k) => k <= wanted);
  return { mm, length: mm * pixelsPerMm };
}

function drawLabel(context, text, x, y, ratio, align = "center") {
  context.font = `${13 * ratio}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineWidth = 4 * ratio;
  context.strokeStyle = "rgba(0, 0, 0, 0.8)";
  context.fillStyle = "#fff";
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

function drawLine(context, points, ratio, colour) {
  for (const [width, style] of [[4, "rgba(0, 0, 0, 0.8)"], [2, colour]]) {
    context.lineWidth = width * ratio;
    context.strokeStyle = style;
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
  }
}

function drawCircle(context, x, y, radius, ratio, colour) {
  for (const [width, style] of [[4, "rgba(0, 0, 0, 0.8)"], [2, colour]]) {
    context.lineWidth = width * ratio;
    context.strokeStyle = style;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}
