// What a prediction means at a threshold. The same rules as unet/inference/prediction.py.

// `prediction` holds p8, width, height, peak, presence, rules and confidence, the word of the
// answer at the network's own threshold; at any other nothing is known of it.
function answerOf(prediction, threshold, spacing = null) {
  const { p8, width, height, rules, peak, presence } = prediction;
  const segmented = segmentMap(p8, width, height, rules, threshold, peak, presence);
  const own = segmented.level === levelOf(rules.threshold);
  const measured = (runs) => measureRegions({ runs }, p8, width, height, spacing);
  return { threshold, segmented, regions: measured(segmented.runs),
    suggested: measured(segmented.suggestion), confidence: own ? prediction.confidence : null,
    reason: reasonOf(segmented, peak) };
}

// Why there is no mask: "presence", "peak", "threshold" or "area"; null where there is one.
function reasonOf(segmented, peak) {
  if (segmented.runs.length) return null;
  if (segmented.absent) return "presence";
  if (segmented.gated) return "peak";
  return peak < segmented.level ? "threshold" : "area";
}
