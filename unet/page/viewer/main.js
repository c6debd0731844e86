// Ties the parts together. Gradio runs this once with `element`, `props`, `trigger` and `watch`.

// What a person has done to the picture that is shown, kept while that one is: masks corrected, by
// frame and network, what was pointed at, by frame, and the size of a pixel.
const untouched = (picture) => ({ picture, editors: new Map(), pointed: new Map(), calibrated: null });
let work = untouched(null);

const MODES = ["overlay", "contour", "heat", "original", "mask", "agreement", "uncertainty"];
const host = element.querySelector(".viewer");
const find = (selector) => host.querySelector(selector);
const thresholdInput = find("input[name=threshold]");
const opacityInput = find("input[name=opacity]");
let generation = 0; // a picture that arrives late must not replace a newer one
let laterTimer = null;

const stage = new Stage(find(".stage"), (step) => setThreshold(Number(thresholdInput.value) + step),
  (number) => setMode(MODES[number]));
const hand = new Hand(stage, { editor: startEditing, changed: () => later(), chosen: showTool });
const clip = new Clip();
const two = new Two(host, stage, { ask: (what) => trigger("compare", what), tell: (text) => tell(text),
  setMode });
host.viewer = { stage, hand, clip, two, calibrate, runsOf, maskOfRuns, segmentMap, areasByLevel, measureRegions, answerOf, answerByHand, maskOf, outlines, hausdorff95, show, value: () => props.value };

async function bytesOf(base64) {
  const binary = atob(base64);
  const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0));
  // Exactly the values in the file: no colour management.
  return createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
}

function greyOf(bitmap) {
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const grey = new Uint8Array(bitmap.width * bitmap.height);
  for (let i = 0; i < grey.length; i++) grey[i] = data[4 * i];
  return grey;
}

function truthOf(grey, width) {
  const mask = grey.map((v) => (v > 127 ? 1 : 0));
  const sums = prefixSums(mask);
  const box = [Infinity, Infinity, 0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) continue;
    const x = i % width, y = (i - x) / width;
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
  }
  return { mask, sums, pixels: sums[mask.length], box };
}

// A value's pictures as pixels; null if the browser gives others than are in the files.
async function pixelsOf(value) {
  const [bitmap, map, truth, unsure] = await Promise.all(
    [value.image, value.probability, value.truth, value.uncertainty].map((png) => png && bytesOf(png)));
  const probability_u8 = greyOf(map);
  if (probability_u8.reduce((a, b) => a + b, 0) !== value.checksum) return null;
  return { bitmap, probability_u8, disagreement_u8: unsure ? greyOf(unsure) : null, truth: truth ? greyOf(truth) : null,
    width: map.width, height: map.height };
}

async function load(value = props.value) {
  try {
    await show(value);
  } catch (error) {
    clear();
    tell("This browser could not draw the picture. Try a smaller image.");
  }
}

async function show(value) {
  const mine = ++generation;
  if (!value) return clear();
  performance.mark("received");
  const pixels = value.pixels || await pixelsOf(value);
  if (mine !== generation) return;
  if (!pixels) { // some privacy settings add noise
    clear();
    tell("This browser alters pictures that a page reads, so the numbers would be wrong. Allow this "
      + "page to read canvas data, or use another browser.");
    return;
  }
  if (work.picture !== value.picture) work = untouched(value.picture);
  const said = pointing.saidOf(value);
  const { bitmap, truth, width, height } = pixels;
  const { postprocessing, seconds } = said || value, { probability_u8, disagreement_u8 } = said || pixels;
  const prediction = predictionOf({ ...(said || value), probability_u8 }, width, height);
  const scene = { series: value.series, width, height, bitmap, probability_u8, prediction, value, pixels, said,
    own_spacing: value.spacing_mm, truth: truth ? truthOf(truth, width) : null,
    disagreement_u8, warning: value.warning, seconds };
  scene.frame = frameKey(value, probability_u8);
  scene.editor = work.editors.get(scene.frame) || null;
  scene.sha256 = value.image_sha256;
  const kept = stage.scene && stage.scene.series === value.series;
  const hadTruth = kept && stage.scene.truth;
  // Of another network, the threshold that nobody has moved follows.
  const other = kept && networkOf(stage.scene) !== networkOf(scene);
  const unmoved = other && Number(thresholdInput.value) === stage.scene.prediction.postprocessing.threshold;
  if (!kept || unmoved) thresholdInput.value = postprocessing.threshold;
  if (scene.editor && scene.editor.edited) thresholdInput.value = scene.editor.threshold;
  scene.segmented = answerOf(prediction, Number(thresholdInput.value)).segmented;
  if (hand.stroke) hand.cancel(); // it was begun on what is shown no more
  stage.show(scene);
  two.show(scene, value);
  find("[data-mode=agreement]").disabled = !scene.truth;
  find("[data-mode=uncertainty]").disabled = !scene.disagreement_u8;
  if (scene.truth && !hadTruth) setMode("agreement");
  if (!scene.truth && stage.mode === "agreement") setMode("overlay");
  if (!scene.disagreement_u8 && stage.mode === "uncertainty") setMode("overlay");
  find(".warning").hidden = !value.warning;
  find(".warning").textContent = value.warning || "";
  find(".truth").hidden = !scene.truth;
  find(".downloads").hidden = false;
  for (const what of ["[data-download=seg]", "[data-download=capture]", ".identity"]) {
    find(what).hidden = !value.dicom;
  }
  showScale();
  update();
  tell("");
  pointing.shown();
  if (session && session.image_sha256 === scene.sha256) restore();
  if (scene.truth) {
    diceByThreshold(scene, () => mine === generation).then((points) => {
      if (!points) return;
      scene.curve = points;
      showCurve(host, points, Number(thresholdInput.value));
    });
  }
  host.dataset.loaded = value.id;
  clip.shown(value, scene);
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("painted")));
}

function predictionOf({ probability_u8, postprocessing, presence, confidence }, width, height) {
  return { probability_u8, width, height, postprocessing, presence, confidence,
    peak: probability_u8.reduce((a, b) => Math.max(a, b), 0) };
}

const networkOf = ({ said, value }) => (said || value).network.sha256;

// What a mask that is corrected belongs to.
function frameKey(value, probability_u8) {
  return `${value.series} ${value.frame || 0} ${probability_u8.reduce((a, b) => (a * 31 + b) | 0, 0)}`;
}

function clear() {
  clip.close();
  stage.scene = null;
  two.show(null);
  stage.ruler = [];
  find(".readout").textContent = "";
  stage.invalidate();
  work = untouched(null);
  hand.choose(null);
  thresholdInput.disabled = true;
  host.dataset.state = "empty";
  host.dataset.loaded = "";
  for (const name of ["truth", "downloads", "regions", "warning", "editing", "pointing", "calibration"]) {
    find(`.${name}`).hidden = true;
  }
}

function setThreshold(value) {
  if (thresholdInput.disabled) return;
  thresholdInput.value = Math.min(1, Math.max(0, value));
  thresholdInput.dispatchEvent(new Event("input"));
}

let updating = false;

// Once a frame, however often the hand moves.
function later() {
  if (updating) return;
  updating = true;
  requestAnimationFrame(() => {
    updating = false;
    update();
  });
}

// Everything that follows the threshold. No request leaves the page.
function update() {
  const { scene } = stage;
  const threshold = Number(thresholdInput.value);
  find("[data-out=threshold]").textContent = threshold.toFixed(2);
  if (!scene) return;
  const own = scene.prediction.postprocessing.threshold;
  if (levelOf(threshold) !== levelOf(own)) {
    find("[data-out=threshold]").textContent += ` (the network's own: ${own.toFixed(2)})`;
  }
  const started = performance.now();
  const { width, height } = scene;
  scene.spacing = work.calibrated || scene.own_spacing;
  const edited = Boolean(scene.editor && scene.editor.edited);
  let answer;
  if (edited) {
    // What the network says does not change while a mask is corrected: the threshold is held.
    scene.own ??= answerOf(scene.prediction, threshold, scene.spacing);
    answer = answerByHand(scene.editor.mask, scene.prediction, threshold, scene.spacing, scene.own);
  } else {
    scene.own = null;
    answer = answerOf(scene.prediction, threshold, scene.spacing);
  }
  showEdited(edited);
  pointing.tell();
  Object.assign(scene, { segmented: answer.segmented, regions: answer.regions });
  showAnswer(host, answer, scene);
  if (scene.truth) {
    scene.agreement = compareWithTruth(scene.segmented, scene.truth, width);
    showAgreement(host, scene, null);
    clearTimeout(laterTimer); // the distance takes longer than a frame: once the slider rests
    laterTimer = setTimeout(() => {
      showAgreement(host, scene, hausdorff95(scene.segmented, scene.truth, width, height));
    }, 80);
    const mark = find(".truth svg .now");
    if (mark) mark.setAttribute("transform", `translate(${threshold * 280 + 18} 0)`);
  }
  clip.draw();
  two.update();
  scene.milliseconds = performance.now() - started;
  stage.invalidate();
}

function setMode(mode) {
  if (find(`[data-mode=${mode}]`).disabled) return;
  stage.mode = mode;
  for (const button of host.querySelectorAll("[data-mode]")) {
    const chosen = button.dataset.mode === mode;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1; // one Tab stop; arrow keys move within
  }
  find(".legend.heat").hidden = mode !== "heat";
  find(".legend.uncertainty").hidden = mode !== "uncertainty";
  find(".legend.agreement").hidden = mode !== "agreement";
  two.follow(mode);
  stage.invalidate();
}

for (const button of host.querySelectorAll("[data-mode]")) {
  button.addEventListener("click", () => setMode(button.dataset.mode));
}
find(".modes").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const usable = MODES.filter((mode) => !find(`[data-mode=${mode}]`).disabled);
  const next = usable[(usable.indexOf(stage.mode) + step + usable.length) % usable.length];
  setMode(next);
  find(`[data-mode=${next}]`).focus();
});
thresholdInput.addEventListener("input", () => {
  if (stage.scene && stage.scene.editor) { // not edited any more: what could be redone is gone
    work.editors.delete(stage.scene.frame);
    stage.scene.editor = null;
  }
  update();
});
opacityInput.addEventListener("input", () => {
  stage.opacity = Number(opacityInput.value);
  find("[data-out=opacity]").textContent = stage.opacity.toFixed(2);
  stage.invalidate();
});
find("[data-out=opacity]").textContent = Number(opacityInput.value).toFixed(2);
find("[data-tool=in]").addEventListener("click", () => stage.zoom(1.5));
find("[data-tool=out]").addEventListener("click", () => stage.zoom(1 / 1.5));
find("[data-tool=fit]").addEventListener("click", () => stage.fit());
find("[data-tool=ruler]").addEventListener("click", () => measure(!stage.measuring));
const compare = find("[data-tool=compare]");
for (const name of ["pointerdown", "keydown"]) {
  compare.addEventListener(name, (event) => {
    if (name === "pointerdown" || event.key === " " || event.key === "Enter") stage.compare(true);
  });
}
for (const name of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) {
  compare.addEventListener(name, () => stage.compare(false));
}
stage.root.addEventListener("readout", (event) => {
  find(".readout").textContent = event.detail || stage.rulerText();
});
stage.root.addEventListener("ruler", (event) => {
  find(".readout").textContent = event.detail;
  showScale();
});
for (const button of host.querySelectorAll("[data-download]")) {
  button.addEventListener("click", () => {
    clip.rest();
    const { editor, said } = stage.scene;
    trigger("download", { id: said ? said.id : host.dataset.loaded, kind: button.dataset.download,
      threshold: Number(thresholdInput.value), calibrated_mm: work.calibrated,
      edited: editor && editor.edited ? runsOf(editor.mask) : null });
  });
}

// A file dropped on the picture or pasted anywhere goes the way of a chosen one.
async function give(given) {
  const sessions = [...given].filter((file) => /\.json$/i.test(file.name));
  const files = [...given].filter((file) => !sessions.includes(file));
  if (sessions.length) await openSession(sessions[0], files.length > 0);
  if (!files.length) return;
  if (props.give) return props.give(files); // the page without a server
  const box = document.querySelector(`#${props.upload_id}`);
  const clearing = box.querySelector("button[aria-label='Clear']"); // a full box has no input
  if (clearing) clearing.click();
  let input = null;
  for (let wait = 0; !input && wait < 100; wait++) {
    await new Promise((done) => setTimeout(done, 20));
    input = box.querySelector("input[type=file]");
  }
  if (!input) return;
  const transfer = new DataTransfer();
  transfer.items.add(files[0]);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}
for (const name of ["dragover", "dragleave", "drop"]) {
  stage.root.addEventListener(name, (event) => {
    event.preventDefault();
    host.classList.toggle("dropping", name === "dragover");
    if (name === "drop") give(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => {
  if (host.isConnected && event.clipboardData) give(event.clipboardData.files);
});
