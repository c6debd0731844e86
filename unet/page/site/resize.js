// Pillow's bilinear resize, pixel by pixel: a triangle as wide as the shrinking asks for, rows first,
// then columns. 8-bit pixels go by whole-number weights, probabilities by floating point.

const BITS = 22; // of the fraction in 8-bit weights

// For each output pixel the first input pixel, and the weights of it and those after it.
function weightsOf(from, to) {
  const scale = from / to, reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const last = Math.min(Math.trunc(centre + reach + 0.5), from);
    const weights = [];
    let sum = 0;
    for (let x = first; x < last; x++) {
      const weight = Math.max(1 - Math.abs((x - centre + 0.5) * (1 / reach)), 0);
      weights.push(weight);
      sum += weight;
    }
    return { first, weights: weights.map((w) => (sum ? w / sum : w)) };
  });
}

const byte = (sum) => Math.min(Math.max(Math.floor(sum / 2 ** BITS), 0), 255);

// One pass over rows or columns; `step` is the distance of neighbours along it.
function pass(source, target, weights, lines, lineStep, step, outLineStep, outStep, whole) {
  const plans = whole ? weights.map(({ first, weights: w }) => ({ first,
    weights: w.map((v) => Math.trunc((v < 0 ? -0.5 : 0.5) + v * 2 ** BITS)) })) : weights;
  for (let line = 0; line < lines; line++) {
    plans.forEach(({ first, weights: w }, i) => {
      let at = line * lineStep + first * step;
      let sum = whole ? 2 ** (BITS - 1) : 0;
      for (let k = 0; k < w.length; k++, at += step) sum += source[at] * w[k];
      target[line * outLineStep + i * outStep] = whole ? byte(sum) : sum;
    });
  }
}

// Uint8Array or Float32Array of width × height → the same kind of toWidth × toHeight.
export function resize(pixels, width, height, toWidth, toHeight) {
  const whole = pixels instanceof Uint8Array, Kind = whole ? Uint8Array : Float32Array;
  let current = pixels;
  if (toWidth !== width) {
    current = new Kind(toWidth * height);
    pass(pixels, current, weightsOf(width, toWidth), height, width, 1, toWidth, 1, whole);
  }
  if (toHeight === height) return current === pixels ? pixels.slice() : current;
  const result = new Kind(toWidth * toHeight);
  pass(current, result, weightsOf(height, toHeight), toWidth, 1, toWidth, 1, toWidth, whole);
  return result;
}
