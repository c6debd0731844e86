// What a network says of an image: the same as unet/inference/segmenter.py, by ONNX Runtime.

import { resize } from "./resize.js";

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

const float32 = (text) => new Float32Array(
  Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

// Logistic regression on the features of each view, averaged.
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

// Soft Dice of two views, a thousandth of the image agreed in any case.
function agreementOf(a, b) {
  const agreed = 0.001 * a.length;
  let shared = 0, sum = 0;
  for (let i = 0; i < a.length; i++) {
    shared += 2 * Math.min(a[i], b[i]);
    sum += a[i] + b[i];
  }
  return (shared + agreed) / (sum + agreed);
}

// The word of the answer at the network's own threshold needs the mask, so the page adds it.
export async function predict(ort, session, about, grey, width, height) {
  const started = performance.now();
  const { size, flip } = about, area = size * size;
  const input = toInput(grey, width, height, size, about.levels);
  const views = flip ? 2 : 1, batch = new Float32Array(views * area);
  batch.set(input);
  if (flip) batch.set(mirrored(input, size), area);
  const tensor = new ort.Tensor("float32", batch, [views, size, size, 1]);
  const outputs = await session.run({ [session.inputNames[0]]: tensor });
  const { data } = outputs.probability;
  const first = data.slice(0, area), second = flip ? mirrored(data.slice(area), size) : null;
  const mean = second ? first.map((v, i) => Math.fround(v + second[i]) / 2) : first;
  const apart = second && first.map((v, i) => Math.max(v, second[i]) - Math.min(v, second[i]));
  const found = {
    p8: quantise(fromOutput(mean, size, width, height)),
    u8: apart && quantise(fromOutput(apart, size, width, height)),
    agreement: second && agreementOf(first, second),
    presence: presenceOf(outputs, about.presence, views),
    familiar: isFamiliar(outputs, about.familiarity, about.slack),
  };
  return { ...found, seconds: (performance.now() - started) / 1000 };
}
