// What a prediction means at a threshold. The same rules as unet/inference/prediction.py.

// `prediction` holds probability_u8, width, height, peak, presence, postprocessing and confidence, the word of the
// answer at the network's own threshold; at any other nothing is known of it.
function answerOf(prediction, threshold, spacing = null) {
  const { probability_u8, width, height, postprocessing, peak, presence } = prediction;
  const segmented = segmentMap(probability_u8, width, height, postprocessing, threshold, peak, presence);
  const own = segmented.level === levelOf(postprocessing.threshold);
  const measured = (runs) => measureRegions({ runs }, probability_u8, width, height, spacing);
  return { threshold, segmented, regions: measured(segmented.runs),
    suggested: measured(segmented.withheld), confidence: own ? prediction.confidence : null,
    reason: reasonOf(segmented, peak) };
}

// What a mask means that a person has corrected; `own` is what the network says at that threshold.
function answerByHand(mask, prediction, threshold, spacing, own) {
  const { probability_u8, width, height } = prediction;
  const found = labelRuns(mask, width, height, 1);
  const runs = found.row.map((y, i) => (
    { y, x0: found.start[i], x1: found.end[i], label: found.label[i] }));
  const pixels = runs.reduce((sum, run) => sum + run.x1 - run.x0, 0);
  const segmented = { runs, withheld: [], pixels, dropped: 0, gated: false, absent: false,
    level: own.segmented.level };
  let both = 0;
  for (const run of own.segmented.runs) {
    for (let i = run.y * width + run.x0; i < run.y * width + run.x1; i++) both += mask[i];
  }
  const sum = pixels + own.segmented.pixels;
  return { threshold, segmented, regions: measureRegions({ runs }, probability_u8, width, height, spacing),
    suggested: [], confidence: null, reason: runs.length ? null : "hand", own,
    dice: sum ? 2 * both / sum : 1 };
}

// Why there is no mask: "presence", "peak", "threshold" or "area"; null where there is one.
function reasonOf(segmented, peak) {
  if (segmented.runs.length) return null;
  if (segmented.absent) return "presence";
  if (segmented.gated) return "peak";
  return peak < segmented.level ? "threshold" : "area";
}
