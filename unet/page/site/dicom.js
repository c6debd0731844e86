// Uncompressed DICOM. Nothing of the patient is read.

import dicomParser from "dicom-parser";

const UNCOMPRESSED = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"];
const REGION = ["x0018602c", "x0018602e", "x00186018", "x0018601a", "x0018601c", "x0018601e"];
const TABLES = ["x00283000", "x00283010"]; // modality and VOI
const CENTIMETRES = 3, TWO_DIMENSIONAL = 1, MAX_SPACING_MM = 100;

export function readDicom(bytes, frame, maxPixels, name) {
  let dataset;
  try {
    dataset = dicomParser.parseDicom(bytes);
  } catch {
    throw new Error(`${name}: a DICOM file that is damaged or of an unknown kind. Export it as `
      + "uncompressed DICOM or PNG.");
  }
  const syntax = dataset.string("x00020010");
  if (!UNCOMPRESSED.includes(syntax)) {
    throw new Error(`${name}: its pixels are compressed (${syntax}), which this page does not read. `
      + "Export it as uncompressed DICOM or PNG.");
  }
  const width = dataset.uint16("x00280011"), height = dataset.uint16("x00280010");
  const element = dataset.elements.x7fe00010;
  if (!element || !width || !height) {
    throw new Error(`${name}: a DICOM file without an image. Choose one that holds pixels.`);
  }
  if (width * height > maxPixels) {
    throw new Error(`${name}: too large: ${width} × ${height} pixels; at most 16 megapixels. Shrink `
      + "or crop the image.");
  }
  const frames = dataset.intString("x00280008") || 1;
  const samples = dataset.uint16("x00280002") || 1;
  const allocated = dataset.uint16("x00280100");
  if (![8, 16].includes(allocated)) {
    throw new Error(`${name}: pixels of ${allocated} bits are not read here. Export it as PNG.`);
  }
  const wide = allocated / 8;
  const length = width * height * samples;
  const start = element.dataOffset + frame * length * wide;
  if (element.length < frames * length * wide || start + length * wide > bytes.length) {
    throw new Error(`${name}: its picture is cut off. Export it again.`);
  }
  const kind = dataset.string("x00280004") || "";
  if (samples === 3 ? kind !== "RGB" : !kind.startsWith("MONOCHROME")) {
    throw new Error(`${name}: colours of the kind ${kind} are not read here. Export it as PNG.`);
  }
  if (samples === 3 && wide === 2) {
    throw new Error(`${name}: colours of more than 8 bits are not read here. Export it as PNG.`);
  }
  if (!["", "LINEAR"].includes(dataset.string("x00281056") ?? "")) {
    throw new Error(`${name}: its window is of a kind that this page does not read. Export it as PNG.`);
  }
  if (TABLES.some((tag) => dataset.elements[tag]?.items?.length)) {
    throw new Error(`${name}: its grey values are to be looked up in a table, which this page does `
      + "not read. Export it as PNG.");
  }
  const content = bytes.slice(start, start + length * wide);
  const first = element.dataOffset;
  const rgba = samples === 3 ? colour(content, dataset, width * height)
    : grey(content, bytes.slice(first, first + length * wide), dataset, wide, kind === "MONOCHROME1");
  return { rgba, width, height, frames, spacing: spacingOf(dataset),
    frame_ms: dataset.floatString("x00181063") };
}

function colour(content, dataset, pixels) {
  const planar = dataset.uint16("x00280006") === 1;
  const rgba = new Uint8ClampedArray(4 * pixels).fill(255);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = content[planar ? c * pixels + i : 3 * i + c];
  }
  return rgba;
}

// Modality and VOI transformation, scaled by the range of a window or, where there is none, of the
// bits in use, as unet/io/dicom.py.
function grey(content, firstFrame, dataset, wide, inverted) {
  const signed = dataset.uint16("x00280103") === 1, bits = dataset.uint16("x00280101");
  const Kind = wide === 2 ? (signed ? Int16Array : Uint16Array) : signed ? Int8Array : Uint8Array;
  const spare = 32 - bits; // bits above those stored may hold anything
  const valuesOf = (frame) => new Kind(frame.buffer)
    .map((v) => (signed ? (v << spare) >> spare : (v << spare) >>> spare));
  const values = valuesOf(content), padding = dataset[signed ? "int16" : "uint16"]("x00280120");
  const slope = dataset.floatString("x00281053") ?? 1;
  const intercept = dataset.floatString("x00281052") ?? 0;
  const centre = dataset.floatString("x00281050"), width = dataset.floatString("x00281051");
  const isWindowed = centre !== undefined && width >= 1;
  const ends = (isWindowed ? ofBits(bits, signed)
    : used(valuesOf(firstFrame).filter((v) => v !== padding), bits))
    .map((v) => v * slope + intercept);
  const low = Math.min(...ends), high = Math.max(...ends);
  const windowed = (v) => {
    if (!isWindowed) return v;
    const at = v - (centre - 0.5);
    if (at <= -(width - 1) / 2) return low;
    if (at > (width - 1) / 2) return high;
    return (at / (width - 1) + 0.5) * (high - low) + low; // PS3.3, C.11.2.1.2
  };
  const rgba = new Uint8ClampedArray(4 * values.length).fill(255);
  for (let i = 0; i < values.length; i++) {
    const share = Math.min(Math.max((windowed(values[i] * slope + intercept) - low)
      / (high - low), 0), 1);
    const level = Math.round(share * 255);
    rgba.fill(inverted ? 255 - level : level, 4 * i, 4 * i + 3);
  }
  return rgba;
}

const ofBits = (bits, signed) => (signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
  : [0, 2 ** bits - 1]);

// The range of the bits that a clip's first values use, at least 8 where there are so many.
function used(values, stored) {
  let low = values[0] ?? 0, high = low;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const length = (n) => (n > 0 ? 32 - Math.clz32(n) : 0), signed = low < 0;
  const bits = Math.max(8, length(high) + signed, signed ? length(~low) + 1 : 0);
  return ofBits(Math.min(bits, stored), signed);
}

// Height and width of a pixel in mm: of the B-mode regions, or PixelSpacing; null if they differ.
function spacingOf(dataset) {
  const items = dataset.elements.x00186011?.items ?? [];
  const regions = items.map((item) => item.dataSet).filter((r) => r.uint16("x00186024") === CENTIMETRES
    && r.uint16("x00186026") === CENTIMETRES && REGION.every((tag) => r.elements[tag]?.length)
    && (r.uint16("x00186012") ?? TWO_DIMENSIONAL) === TWO_DIMENSIONAL);
  const area = (r) => (r.uint32("x0018601c") - r.uint32("x00186018"))
    * (r.uint32("x0018601e") - r.uint32("x0018601a"));
  const sides = (r) => [Math.abs(r.double("x0018602e")) * 10, Math.abs(r.double("x0018602c")) * 10];
  let spacing = null;
  if (regions.length) {
    spacing = sides(regions.reduce((a, b) => (area(b) > area(a) ? b : a)));
    const isOther = (mm, i) => Math.abs(mm - spacing[i]) > 0.01 * spacing[i];
    if (regions.some((r) => sides(r).some(isOther))) return null;
  } else if (dataset.string("x00280030")) {
    spacing = dataset.string("x00280030").split("\\").map(Number);
  }
  return spacing?.length === 2 && spacing.every((side) => side > 0 && side < MAX_SPACING_MM)
    ? spacing : null;
}
