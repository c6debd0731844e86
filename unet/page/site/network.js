// What a network says of an image: the same as unet/inference/segmenter.py, by ONNX Runtime.

import { blended, closerLook, drawPrompts, onlyPointedAt, seenIn } from "./prompts.js";
import { resize } from "./resize.js";
import { secondWindow } from "./windows.js";

// Grey Uint8Array → the network's input, float32 of size × size. `levels` has the input for each of
// the 256 grey values, as Python rounds them.
function toInput(grey, width, height, size, levels) {
  return Float32Array.from(resize(grey, width, height, size, size), (v) => levels[v]);
}

function fromOutput(square, size, width, height) {
  const map = resize(square, size, size, width, height);
  for (let i = 0; i < map.length; i++) map[i] = Math.min(Math.max(map[i], 0), 1);
  return map;
}

// Probability as 8 bits, in float32 as NumPy computes it; halves up.
function quantise(map) {
  return Uint8Array.from(map, (p) => Math.floor(Math.fround(Math.fround(p * 255) + 0.5)));
}

function mirrored(square, size) {
  const result = new Float32Array(square.length);
  for (let i = 0; i < square.length; i++) result[i] = square[i - (i % size) + size - 1 - (i % size)];
  return result;
}

const edgeOf = (size, scale) => Math.floor(size * (1 - scale) / 2 + 0.5);

// A square picture made smaller in the middle of black, and what was put there at the whole size.
function framed(square, size, scale) {
  const edge = edgeOf(size, scale), inner = size - 2 * edge, result = new Float32Array(size * size);
  const small = resize(square, size, size, inner, inner);
  for (let y = 0; y < inner; y++) {
    result.set(small.subarray(y * inner, (y + 1) * inner), (y + edge) * size + edge);
  }
  return result;
}

function unframed(square, size, scale) {
  const edge = edgeOf(size, scale), inner = size - 2 * edge;
  const middle = new Float32Array(inner * inner);
  for (let y = 0; y < inner; y++) {
    const start = (y + edge) * size + edge;
    middle.set(square.subarray(start, start + inner), y * inner);
  }
  return resize(middle, inner, inner, size, size);
}

const float32 = (text) => new Float32Array(
  Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

// Logistic regression on the features of each view at full size, averaged.
function presenceOf(outputs, presence, views) {
  if (!presence) return null;
  const weights = float32(presence.weights);
  let mean = 0;
  for (let view = 0; view < views; view++) {
    let sum = presence.bias, at = 0;
    for (const name of presence.layers) {
      const { data, dims } = outputs[name];
      for (let i = 0; i < dims[1]; i++) sum += data[view * dims[1] + i] * weights[at++];
    }
    mean += 1 / (1 + Math.exp(-sum)) / views;
  }
  return mean;
}

// Mahalanobis distance of the first view's features within the limit.
function isFamiliar(outputs, familiarity, slack) {
  if (!familiarity) return null;
  const mean = float32(familiarity.mean), precision = float32(familiarity.precision);
  const offset = Float32Array.from(mean, (m, i) => outputs[familiarity.layer].data[i] - m);
  let squared = 0;
  for (let i = 0; i < mean.length; i++) {
    let row = 0;
    for (let j = 0; j < mean.length; j++) row += offset[j] * precision[j * mean.length + i];
    squared += row * offset[i];
  }
  return Math.sqrt(Math.max(squared, 0)) <= slack * familiarity.limit;
}

// Soft Dice of views by their mean and their least, a thousandth of the image agreed in any case.
function agreementOf(mean, least, views) {
  const agreed = 0.001 * mean.length, total = (map) => map.reduce((sum, v) => sum + v, 0);
  return (views * total(least) + agreed) / (views * total(mean) + agreed);
}

// The network's outputs for a picture and for the other views of it that are averaged. `maps` are
// those of prompts, in the network's size.
async function viewsOf(ort, session, about, { grey, width, height }, maps) {
  const { size, inference: { flip, scales }, levels } = about, area = size * size;
  const planes = [toInput(grey, width, height, size, levels), ...maps], same = (square) => square;
  const views = [{ give: same, back: same }]; // how a plane is shown, and its answer laid back
  const turned = (square) => mirrored(square, size);
  if (flip) views.push({ give: turned, back: turned });
  for (const share of scales.slice(1)) {
    views.push({ give: (square) => framed(square, size, share),
      back: (square) => unframed(square, size, share) });
  }
  const batch = new Float32Array(views.length * planes.length * area);
  let at = 0;
  for (const { give } of views) {
    const shown = planes.map(give);
    for (let i = 0; i < area; i++) for (const plane of shown) batch[at++] = plane[i];
  }
  const tensor = new ort.Tensor("float32", batch, [views.length, size, size, planes.length]);
  const outputs = await session.run({ [session.inputNames[0]]: tensor });
  const empty = grey.every((value) => value === grey[0]); // a picture of one grey shows nothing
  if (empty) outputs.probability.data.fill(0);
  const { data } = outputs.probability;
  const found = views.map(({ back }, k) => back(data.slice(k * area, (k + 1) * area)));
  const mean = new Float32Array(area), least = found[0].slice(), most = found[0].slice();
  for (let i = 0; i < area; i++) {
    for (const map of found) {
      mean[i] += map[i];
      least[i] = Math.min(least[i], map[i]);
      most[i] = Math.max(most[i], map[i]);
    }
    mean[i] /= views.length;
  }
  const apart = views.length > 1 ? most.map((value, i) => value - least[i]) : null;
  const agreement = apart && agreementOf(mean, least, views.length);
  return { outputs, mean, apart, empty, agreement };
}

// The word of the answer at the network's own threshold needs the mask, so the page adds it.
export async function predict(ort, session, about, grey, width, height) {
  const started = performance.now();
  const { size } = about, weight = about.inference.second_look, picture = { grey, width, height };
  const { outputs, agreement, empty, ...whole } = await viewsOf(ort, session, about, picture, []);
  let map = fromOutput(whole.mean, size, width, height);
  let apart = whole.apart && fromOutput(whole.apart, size, width, height);
  const window = weight ? secondWindow(quantise(map), width, height) : null;
  if (window) {
    const part = cut(picture, window), closer = await viewsOf(ort, session, about, part, []);
    const both = (first, second) => blended(first, width,
      fromOutput(second, size, part.width, part.height), window, weight);
    map = both(map, closer.mean);
    apart = apart && both(apart, closer.apart);
  }
  const found = {
    probability_u8: quantise(map),
    disagreement_u8: apart && quantise(apart),
    agreement,
    presence: presenceOf(outputs, about.presence, about.inference.flip ? 2 : 1),
    familiar: !empty && isFamiliar(outputs, about.familiarity, about.slack),
  };
  return { ...found, seconds: (performance.now() - started) / 1000 };
}

// The same by a network that is shown prompts. A prompt on a lesion disables the presence gate and the
// rules; prompts that only exclude places do not. As Segmenter.analyze.
export async function predictPointed(ort, session, about, grey, width, height, prompts) {
  const started = performance.now();
  const { size } = about, picture = { grey, width, height };
  const see = (part, said) => viewsOf(ort, session, about, part,
    drawPrompts(said, part.height, part.width, size));
  const { outputs, agreement, ...whole } = await see(picture, prompts);
  let map = fromOutput(whole.mean, size, width, height);
  let apart = whole.apart && fromOutput(whole.apart, size, width, height);
  const window = closerLook(prompts, height, width);
  if (window) {
    const part = cut(picture, window), closer = await see(part, seenIn(prompts, window));
    const both = (first, second) => blended(first, width,
      fromOutput(second, size, part.width, part.height), window);
    map = both(map, closer.mean);
    apart = apart && both(apart, closer.apart);
  }
  const least = Math.max(1, Math.floor(about.postprocessing.threshold * 255 + 0.5));
  const shown = prompts.positive.length || prompts.boxes.length;
  const found = { disagreement_u8: apart && quantise(apart), seconds: (performance.now() - started) / 1000 };
  if (!shown) {
    return { ...found, probability_u8: quantise(map), postprocessing: about.postprocessing, agreement,
      presence: presenceOf(outputs, about.presence, about.inference.flip ? 2 : 1) };
  }
  const postprocessing = { ...about.postprocessing, min_area: 0, min_peak: 0, min_presence: 0 };
  return { ...found, probability_u8: onlyPointedAt(quantise(map), width, height, prompts, least), postprocessing,
    agreement: null, presence: null };
}

function cut({ grey, width }, [left, top, right, bottom]) {
  const part = { width: right - left, height: bottom - top };
  part.grey = new Uint8Array(part.width * part.height);
  for (let y = 0; y < part.height; y++) {
    part.grey.set(grey.subarray((top + y) * width + left, (top + y) * width + right), y * part.width);
  }
  return part;
}
