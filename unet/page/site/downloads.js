// What people take home, the same as unet/page/exports/report.py writes it.

import { zlibSync } from "fflate";

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crcOf(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

// A PNG of 1 (grey) or 3 (RGB) bytes a pixel, with nothing but pixels in it.
export function png(pixels, width, height, channels) {
  const rows = new Uint8Array(height * (width * channels + 1));
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width * channels, (y + 1) * width * channels);
    rows.set(row, y * (width * channels + 1) + 1);
  }
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, channels === 1 ? 0 : 2], 8);
  const chunk = (name, content) => {
    const bytes = new Uint8Array(content.length + 12), at = new DataView(bytes.buffer);
    at.setUint32(0, content.length);
    bytes.set([...name].map((c) => c.charCodeAt(0)), 4);
    bytes.set(content, 8);
    at.setUint32(content.length + 8, crcOf(bytes.subarray(4, content.length + 8)));
    return bytes;
  };
  const parts = [Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), chunk("IHDR", header),
    chunk("IDAT", zlibSync(rows)), chunk("IEND", new Uint8Array(0))];
  const file = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  parts.reduce((at, part) => { file.set(part, at); return at + part.length; }, 0);
  return file;
}

// The image with the mask laid over it (0.35) and outlined, about 1/250 of the longer side wide.
export function overlay(rgba, mask, width, height, colour = [255, 176, 0], opacity = 0.35) {
  const pixels = new Uint8Array(3 * mask.length);
  const tint = colour.map((v) => Math.fround(v * Math.fround(opacity))); // as NumPy's float32
  let inner = mask;
  for (let n = Math.max(1, Math.round(Math.max(width, height) / 250)); n > 0; n--) {
    const next = new Uint8Array(mask.length);
    for (let y = 1; y < height - 1; y++) {
      for (let x = 1, i = y * width + 1; x < width - 1; x++, i++) {
        next[i] = inner[i] & inner[i - 1] & inner[i + 1] & inner[i - width] & inner[i + width];
      }
    }
    inner = next;
  }
  for (let i = 0; i < mask.length; i++) {
    for (let c = 0; c < 3; c++) {
      const v = rgba[4 * i + c];
      pixels[3 * i + c] = !mask[i] ? v : !inner[i] ? colour[c]
        : Math.floor(v * (1 - opacity) + tint[c] + 0.5);
    }
  }
  return pixels;
}

// The findings as JSON values.
export function findings(shown, answer, network, notice) {
  const { width, height } = shown;
  return {
    image_size_px: [width, height], lesion_found: answer.regions.length > 0,
    regions: answer.regions, ...byHand(answer, width, height), confidence: answer.confidence, reason_for_no_mask: answer.reason,
    unsure: answer.suggested.length > 0, regions_to_look_at: answer.suggested, lesion_presence: shown.presence,
    looks_like_breast_ultrasound: shown.familiar, threshold: answer.threshold,
    network, notice,
  };
}

// What a person did, with the network's own answer beside.
function byHand({ own, dice, calibrated, spacing }, width, height) {
  return {
    edited_by_hand: Boolean(own),
    network_answer: own ? { image_size_px: [width, height], lesion_found: own.regions.length > 0,
      regions: own.regions, confidence: own.confidence, unsure: own.suggested.length > 0,
      regions_to_look_at: own.suggested, dice_with_edited: dice } : null,
    millimetres_calibrated_by_hand: Boolean(calibrated), pixel_spacing_mm: spacing || null,
  };
}

const COLUMNS = ["area_px", "share", "longest_px", "perpendicular_px", "depth_px",
  "height_to_width", "mean_probability", "peak_probability", "area_mm2", "longest_mm",
  "perpendicular_mm", "depth_mm"];

// The regions as CSV, a row each.
export function csv(answer, network, pointedAt) {
  const boxes = ["box_left_px", "box_top_px", "box_width_px", "box_height_px"];
  const lines = [["region", ...COLUMNS, ...boxes, "threshold", "network", "sha256",
    "pointed_at", "edited_by_hand", "millimetres_calibrated_by_hand"]];
  const said = (value) => (value ? "True" : "False"); // as Python writes it
  answer.regions.forEach((r, i) => lines.push([i + 1, ...COLUMNS.map((name) => r[name] ?? ""),
    ...r.box_px, answer.threshold, network.name, network.sha256, said(pointedAt),
    said(answer.own), said(answer.calibrated)]));
  return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

export const quoted = (value) => (/[",\n]/.test(`${value}`)
  ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`);
