// The page without a server: reads files, asks the worker, shows the answer, hands out downloads.

import { zipSync } from "fflate";
import { csv, findings, overlay, png, quoted } from "./downloads.js";
import { Frames } from "./frames.js";
import { within } from "./prompts.js";
import { readFile } from "./read.js";
import { drawCharts } from "charts";
import { mountViewer } from "viewer";

const config = JSON.parse(document.querySelector("#config").textContent);
const find = (selector) => document.querySelector(selector);
// An address where the page has files beside it; the bytes themselves where it is one file.
async function resourceOf(resource) {
  if (resource.url) return new URL(resource.url, document.baseURI).href;
  const packed = Uint8Array.from(atob(find(`#${resource.inside}`).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// ---- the worker -------------------------------------------------------------------------------

const worker = config.runtime.single
  ? new Worker(URL.createObjectURL(new Blob([find("#worker").textContent])))
  : new Worker(new URL(config.runtime.worker.url, document.baseURI), { type: "module" });
const waiting = new Map();
let asked = 0;

worker.onmessage = ({ data }) => {
  const { done, failed, progress } = waiting.get(data.id);
  if (data.type === "progress") return progress(data);
  waiting.delete(data.id);
  if (data.type === "done") done(data);
  else failed(new Error(data.message));
};
worker.onerror = (event) => say(
  `This browser could not start the network: ${event.message}. Reload the page, or use another one.`,
  true,
);

const given = new Set(); // networks whose weights the worker has been given
async function ask(type, network, content = {}) {
  const id = ++asked;
  const first = !given.size, fresh = !given.has(network.name);
  given.add(network.name);
  const about = { ...network, graph: fresh ? await resourceOf(network.graph) : null };
  const runtime = { script: config.runtime.script && await resourceOf(config.runtime.script),
    wasm: first ? await resourceOf(config.runtime.wasm) : null };
  worker.postMessage({ id, type, about, runtime, ...content });
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed, progress: ({ loaded, total }) => {
      const share = total ? ` ${Math.round(loaded / total * 100)} %` : "";
      say(`Loading ${network.name}:${share} (${(loaded / 1e6).toFixed(0)} MB)`);
    } });
  }).catch((error) => {
    given.delete(network.name);
    throw error;
  });
}

// ---- what is shown ----------------------------------------------------------------------------

let network = config.networks[0];
let shown = null; // { picture, prediction, network, id, name, truth, file, frame, generated }
const frames = new Frames();
let resting = Promise.resolve(); // until `shown` is the frame that the viewer shows
let series = 0;
const props = { value: null, give };
let follow = () => {};
const pointedAnswers = new Map(); // predictions by id, of the picture that is shown
const answers = { download, compare: second, point, tick: frameOf,
  select: (detail) => { resting = rest(detail); } };
mountViewer(find("#viewer"), props, (kind, detail) => answers[kind](detail), (_, changed) => {
  follow = changed;
});
const viewer = find("#viewer .viewer").viewer;

function say(text, wrong = false) {
  find("#status").textContent = text;
  find("#status").classList.toggle("wrong", wrong);
}

const ready = (state) => say(`${network.name}: ${state}. Nothing leaves this device.`);

// How sure the network is of its own answer; as unet/inference/confidence.py.
function wordOf({ probability_u8, width, height, postprocessing, agreement, presence, familiar }, thresholds) {
  if (!thresholds) return null;
  if (familiar === false) return "low";
  const peak = probability_u8.reduce((a, b) => Math.max(a, b), 0);
  const own = viewer.segmentMap(probability_u8, width, height, postprocessing, postprocessing.threshold, peak, presence);
  if (own.withheld.length) return "low";
  if (!own.pixels && presence !== null && presence >= thresholds.none) return "low";
  const level = own.pixels ? (agreement >= thresholds.low) + (agreement >= thresholds.high)
    : (peak / 255 < 0.85) + (peak / 255 < 0.5);
  return ["low", "medium", "high"][level];
}

async function analyse(picture, generated, by = network) {
  const { grey, width, height } = picture;
  const found = await ask("run", by, { grey, width, height });
  const prediction = { ...found, width, height, postprocessing: by.postprocessing };
  if (generated) prediction.familiar = null; // a phantom, and known to be one
  return { ...prediction, confidence: wordOf(prediction, by.confidence) };
}

const warningOf = ({ familiar }) => (familiar === false ? config.unfamiliar : null);

function show() {
  props.value = valueOf(shown);
  return follow();
}

function valueOf({ picture, prediction, network, truth, id, name, frame }) {
  return {
    id: `${id} ${network.name} ${frame} ${truth ? "truth" : ""}`, picture: id,
    series: `${id} ${network.name}`, frame, frames: picture.frames, frame_ms: picture.frame_ms,
    pixels: { bitmap: picture.bitmap, probability_u8: prediction.probability_u8, disagreement_u8: prediction.disagreement_u8, truth,
      width: picture.width, height: picture.height },
    confidence: prediction.confidence, presence: prediction.presence,
    warning: warningOf(prediction),
    image_sha256: picture.sha256, dicom: false, postprocessing: prediction.postprocessing, spacing_mm: picture.spacing, seconds: prediction.seconds,
    network: identityOf(network), name,
    networks: config.networks.map((other) => other.name), interactive: Boolean(config.guide),
  };
}

// ---- the frames of a clip ---------------------------------------------------------------------

async function partsOf({ file, id, generated, picture: { spacing } }, frame) {
  const picture = await readFile(file, frame);
  picture.spacing ??= spacing;
  picture.sha256 = await hashOf(picture.grey);
  const by = network;
  const prediction = await frames.get(`${id} ${by.name}`, frame, () => analyse(picture, generated, by));
  return { picture, prediction, frame, network: by };
}

async function frameOf({ ticket, frame }) {
  const of = shown, by = network;
  let answer;
  try {
    const parts = await partsOf(of, frame);
    // Another network's clip is on its way where that has been chosen meanwhile.
    answer = by === network ? { value: valueOf({ ...of, ...parts, truth: null }) } : { later: true };
  } catch (error) {
    answer = { failed: error.message };
  }
  viewer.clip.take({ ticket, ...answer });
}

// Network and downloads follow the frame that is shown; the truth was another's.
let rests = 0; // the last one counts, whichever frame is read first
async function rest({ frame }) {
  const of = shown, mine = ++rests;
  const parts = await partsOf(of, frame).catch((error) => say(error.message, true));
  if (!parts || mine !== rests || shown.id !== of.id) return;
  shown = { ...shown, ...parts, truth: null };
  find("#truth").value = "";
}

// What is shown, or another frame of it.
const ofFrame = (of, frame) => (frame === of.frame ? of : partsOf(of, frame));

async function hashOf(bytes) {
  if (!crypto.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function give(files) {
  if (files.length > 1) many(files);
  else open(files[0]);
}

let newest = 0; // an answer that arrives late must not replace a newer one
async function open(file, { truth = null, generated = false, spacing = null } = {}) {
  if (!file) return;
  const mine = ++newest;
  try {
    say(`Reading ${file.name}…`);
    const picture = await readFile(file);
    picture.spacing ??= spacing;
    picture.sha256 = await hashOf(picture.grey);
    const by = network;
    const prediction = await analyse(picture, generated, by);
    if (mine !== newest) return;
    pointedAnswers.clear();
    shown = { picture, prediction, network: by, truth, id: ++series, name: file.name, file, generated,
      frame: 0 };
    if (!truth) find("#truth").value = "";
    ready("ready");
    await show();
    await bringUp();
  } catch (error) {
    if (mine === newest) say(error.message, true);
  }
}

// A mask as 0 and 255, as unet/io/images.py: where only 0 and one other value occur, that one.
function maskFrom(grey, name) {
  const values = new Set(grey), most = Math.max(...values);
  if (most > 127 || !most) return grey;
  if (values.size === 2) return grey.map((value) => (value ? 255 : 0));
  throw new Error(`${name}: expected a mask of 0 and 255, got values up to ${most}. Export it again.`);
}

async function compare(file) {
  if (!shown) return say("Choose the ultrasound first, then its ground truth.", true);
  try {
    const truth = file ? await readFile(file) : null;
    const { width, height } = shown.picture;
    if (truth && (truth.width !== width || truth.height !== height)) {
      throw new Error(`The mask is ${truth.width} × ${truth.height} pixels, the image ${width} × `
        + `${height}. Choose the mask that belongs to this image.`);
    }
    shown.truth = truth && maskFrom(truth.grey, file.name);
    ready("ready");
    show();
  } catch (error) {
    say(error.message, true);
  }
}

// Another network's map of the picture that is shown; the viewer leaves it where it is too late.
async function second({ request, frame, network: name }) {
  const of = shown;
  try {
    const { picture } = await ofFrame(of, frame), { generated } = of;
    const prediction = await analyse(picture, generated,
      config.networks.find((other) => other.name === name));
    ready("ready");
    viewer.two.receive({ ...prediction, request, pixels: { probability_u8: prediction.probability_u8, disagreement_u8: prediction.disagreement_u8 },
      warning: warningOf(prediction) });
  } catch (error) {
    ready("ready");
    viewer.two.receive({ request, error: error.message });
  }
}

// The answer of the network that is shown what one points at.
async function point({ id, frame, request, prompts: given }) {
  const of = shown, { guide } = config;
  try {
    const { picture, prediction } = await ofFrame(of, frame);
    const { grey, width, height } = picture;
    const prompts = within(given, width, height);
    const found = { ...await ask("run", guide, { grey, width, height, prompts }), width, height, prompts,
      familiar: prediction.familiar };
    const open = prompts.positive.length || prompts.boxes.length; // a lesion is pointed at
    found.confidence = open ? null : wordOf(found, guide.confidence);
    ready("ready");
    const name = `${id} pointed ${request}`;
    pointedAnswers.set(name, found);
    const { probability_u8, disagreement_u8, postprocessing, presence, seconds, confidence } = found;
    viewer.pointing.receive({ request, id: name, pixels: { probability_u8, disagreement_u8 }, postprocessing, presence, seconds,
      confidence, warning: warningOf(found), network: identityOf(guide) });
  } catch (error) {
    ready("ready");
    const lost = error instanceof TypeError; // as fetch says it
    viewer.pointing.receive({ request, error: lost ? "The network for pointing could not be loaded. "
      + "Check the connection, then point again." : error.message });
  }
}

const identityOf = ({ name, sha256 }) => ({ name, sha256, revision: null });

// The answer of the network that is chosen, where what is shown is another's.
async function bringUp() {
  while (shown && shown.network !== network) {
    const of = shown, by = network;
    const prediction = await analyse(of.picture, of.generated, by);
    if (shown !== of || network !== by) continue; // another picture, frame or network meanwhile
    shown = { ...of, prediction, network: by };
    await show();
  }
}

let choices = 0;
async function choose(name) {
  const mine = ++choices, by = config.networks.find((other) => other.name === name);
  try {
    say(`${name}: loading. Nothing leaves this device.`);
    await ask("load", by);
    if (mine !== choices) return;
    network = by; // only now: until then all that is said is the other's
    await bringUp();
    ready("ready");
    find("#about").innerHTML = find(`template[data-network="${network.name}"]`).innerHTML;
    drawCharts(find("#about"));
  } catch (error) {
    if (mine !== choices) return;
    find("#network").value = network.name;
    say(`${name} could not be loaded (${error.message}). Check the connection, then reload the page.`,
      true);
  }
}

// ---- downloads --------------------------------------------------------------------------------

function rgbaOf({ bitmap, width, height }) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

function filesOf(picture, prediction, answer, by) {
  const { width, height } = picture;
  const mask = viewer.maskOf(answer.segmented.runs, width, height);
  const identity = identityOf(prediction.prompts ? config.guide : by);
  const prompts = prediction.prompts || null;
  return {
    mask: () => ["mask.png", "image/png", png(mask.map((v) => 255 * v), width, height, 1)],
    overlay: () => ["overlay.png", "image/png",
      png(overlay(rgbaOf(picture), mask, width, height), width, height, 3)],
    contours: () => ["contours.json", "application/json", JSON.stringify({
      image_size_px: [width, height], contours: viewer.outlines(mask, width, height),
      threshold: answer.threshold, network: identity })],
    json: () => ["findings.json", "application/json", JSON.stringify(
      { ...findings({ ...prediction, width, height }, answer, identity, config.notice), prompts }, null, 1)],
    session: () => ["session.json", "application/json", JSON.stringify({ schema: 2,
      image_sha256: picture.sha256, image_size_px: [width, height],
      edited_runs: answer.own ? viewer.runsOf(mask) : null,
      calibrated_mm: answer.calibrated ? answer.spacing : null, prompts,
      threshold: answer.threshold, network: identity })],
    csv: () => ["findings.csv", "text/csv", csv(answer, identity, prompts)],
  };
}

// What is said at a threshold, of the mask as a person has corrected it and in the millimetres that
// they have calibrated, if they have.
function answerOf(picture, prediction, threshold, edited = null, calibrated = null) {
  const peak = prediction.probability_u8.reduce((a, b) => Math.max(a, b), 0);
  const said = { ...prediction, peak }, spacing = calibrated || picture.spacing;
  const own = viewer.answerOf(said, threshold, spacing);
  const answer = edited ? viewer.answerByHand(edited, said, threshold, spacing, own) : own;
  return { ...answer, spacing, calibrated: calibrated !== null };
}

async function download({ id, kind, threshold, edited, calibrated_mm }) {
  await resting;
  const { picture, network: by } = shown, prediction = pointedAnswers.get(id) || shown.prediction;
  const mask = edited && viewer.maskOfRuns(edited, prediction.probability_u8.length);
  const answer = answerOf(picture, prediction, threshold, mask, calibrated_mm);
  save(...filesOf(picture, prediction, answer, by)[kind]());
}

function save(name, type, content) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// ---- many images ------------------------------------------------------------------------------

let batch = null; // { files, lines, stopped }

function cell(text) {
  return Object.assign(document.createElement("td"), { textContent: text });
}

function unused(stem, used) {
  let name = stem;
  for (let n = 2; used.has(name); n++) name = `${stem}-${n}`;
  used.add(name);
  return name;
}

async function many(files) {
  const mine = { stopped: false, files: {}, lines: [["output", "file", "result", "regions",
    "area_px", "longest_px", "share", "peak_probability", "confidence"]] };
  if (batch) batch.stopped = true;
  batch = mine;
  const by = network; // one for all, whichever is chosen meanwhile
  const used = new Set();
  find("#rows").replaceChildren();
  find("#many").hidden = false;
  find("#zip").disabled = true;
  for (const [number, file] of [...files].entries()) {
    if (mine.stopped) break;
    say(`${number + 1} of ${files.length}: ${file.name}`);
    const line = document.createElement("tr");
    try {
      const picture = await readFile(file);
      const prediction = await analyse(picture, false, by);
      if (mine !== batch) return;
      const answer = answerOf(picture, prediction, by.postprocessing.threshold);
      const [largest] = answer.regions;
      const result = largest ? "region marked" : answer.segmented.withheld.length
        ? "unsure: open it and look" : "no lesion found";
      const stem = unused(file.name.replace(/\.[^.]*$/, "") || file.name, used);
      const made = filesOf(picture, prediction, answer, by);
      mine.files[`masks/${stem}.png`] = made.mask()[2];
      mine.files[`overlays/${stem}.png`] = made.overlay()[2];
      const peak = prediction.probability_u8.reduce((a, b) => Math.max(a, b), 0) / 255;
      mine.lines.push([stem, file.name, result, answer.regions.length, largest?.area_px ?? "",
        largest ? largest.longest_px.toFixed(1) : "", largest ? largest.share.toFixed(4) : "",
        peak.toFixed(3), prediction.confidence ?? ""]);
      line.append(cell(file.name), cell(result), cell(answer.regions.length || ""),
        cell(largest ? `${largest.longest_px.toFixed(0)} × ${largest.perpendicular_px.toFixed(0)} px` : ""),
        cell(prediction.familiar === false ? "low: unfamiliar" : prediction.confidence || ""));
      line.tabIndex = 0;
      line.addEventListener("click", () => open(file));
      line.addEventListener("keydown", (event) => event.key === "Enter" && open(file));
    } catch (error) {
      const reason = error.message.replace(`${file.name}: `, "");
      mine.lines.push(["", file.name, `not read: ${reason}`, "", "", "", "", "", ""]);
      line.append(cell(file.name), cell(`not read: ${reason}`), cell(""), cell(""), cell(""));
    }
    find("#rows").append(line);
  }
  find("#zip").disabled = Object.keys(mine.files).length === 0;
  ready(mine.stopped ? "stopped" : "ready");
}

find("#zip").addEventListener("click", () => {
  const table = batch.lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
  const files = { ...batch.files, "results.csv": new TextEncoder().encode(table) };
  save("results.zip", "application/zip", zipSync(files, { level: 0 }));
});
find("#stop").addEventListener("click", () => { if (batch) batch.stopped = true; });

// ---- the controls -----------------------------------------------------------------------------

find("#upload").addEventListener("change", ({ target }) => {
  give([...target.files]);
  target.value = "";
});
find("#truth").addEventListener("change", ({ target }) => compare(target.files[0]));
const chooser = find("#network");
for (const { name, label } of config.networks) chooser.add(new Option(label, name));
chooser.addEventListener("change", () => choose(chooser.value));
for (const example of config.examples) {
  const button = document.createElement("button");
  button.title = example.source;
  button.append(Object.assign(new Image(), { src: example.image, alt: "" }), example.caption);
  button.addEventListener("click", async () => {
    const [image, truth] = await Promise.all([example.image, example.truth].map(async (address) =>
      new File([await (await fetch(address)).blob()], `${example.caption}.png`)));
    const { grey } = await readFile(truth);
    open(image, { truth: grey, generated: example.generated, spacing: example.spacing });
  });
  find("#examples").append(button);
}
find("#viewer .empty").lastChild.textContent = "PNG, JPEG, BMP, WebP or uncompressed DICOM";
for (const kind of ["report", "coco", "labelme", "all"]) { // these take the page with a server
  find(`#viewer [data-download=${kind}]`).hidden = true;
}
if (!crypto.subtle) find("#viewer [data-download=session]").hidden = true; // not over plain HTTP
choose(network.name);

if (!config.runtime.single && "serviceWorker" in navigator && location.protocol !== "file:") {
  navigator.serviceWorker.register("sw.js");
}
window.site = { open, many, get shown() { return shown; }, get network() { return network; } };
