// The window about the largest candidate of a map, for a second look: as unet/core/windows.py.

import { windowAround } from "./prompts.js";

const CANDIDATE = 0.25, LOOK_AROUND = 2.5, SMALLEST = 0.3;

export function secondWindow(probability_u8, width, height) {
  const least = Math.floor(CANDIDATE * 255 + 0.5), seen = new Uint8Array(probability_u8.length);
  let best = null;
  for (let start = 0; start < seen.length; start++) {
    if (seen[start] || probability_u8[start] < least) continue;
    const open = [start], region = { sum: 0, low: [width, height], high: [0, 0] };
    seen[start] = 1;
    while (open.length) {
      const at = open.pop(), x = at % width, y = (at - x) / width;
      region.sum += probability_u8[at];
      region.low = [Math.min(region.low[0], x), Math.min(region.low[1], y)];
      region.high = [Math.max(region.high[0], x + 1), Math.max(region.high[1], y + 1)];
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const next = v * width + u;
          if (seen[next] || probability_u8[next] < least) continue;
          seen[next] = 1;
          open.push(next);
        }
      }
    }
    if (!best || region.sum > best.sum) best = region; // of equal ones the first
  }
  return best && windowAround(best.low, best.high, height, width, LOOK_AROUND, SMALLEST);
}
