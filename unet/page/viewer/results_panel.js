// What is said of the mask beside the picture, in the elements below `root`.

function showAnswer(root, answer, scene) {
  const { regions, confidence } = answer;
  const { spacing } = scene;
  const find = (selector) => root.querySelector(selector);
  const unsure = answer.segmented.withheld.length > 0;
  root.dataset.state = answer.own ? "edited" : regions.length ? "found" : unsure ? "unsure" : "clear";
  find(".answer strong").textContent = unsure ? "Unsure: look at the dashed outline."
    : answer.own ? `Edited by hand: ${regions.length ? countOf(regions, spacing) : "nothing marked"}.`
    : !regions.length ? "No lesion found." : `${countOf(regions, spacing)}.`;
  root.dataset.confidence = confidence || "";
  find(".confidence").hidden = !confidence;
  find(".confidence").textContent = confidence ? `${confidence} confidence` : "";
  find(".answer span").textContent = notesOf(answer, scene).join(" ");
  showRegions(root, regions, spacing);
}

function countOf(regions, spacing) {
  const [r] = regions;
  const size = spacing ? `${r.longest_mm.toFixed(1)} × ${r.perpendicular_mm.toFixed(1)} mm`
    : `${r.longest_px.toFixed(0)} × ${r.perpendicular_px.toFixed(0)} pixels`;
  return regions.length === 1 ? `1 region, ${size}` : `${regions.length} regions, the largest ${size}`;
}

// Why the answer is not to be relied on, what kept it back, and how long it took.
function notesOf(answer, scene) {
  const { regions, segmented, reason } = answer;
  const { postprocessing, presence, peak } = scene.prediction;
  const notes = scene.said
    ? ["Guided by what you point at: it outlines a place that is pointed at, lesion or not."] : [];
  if (answer.own) {
    const own = answer.own.regions, unsure = answer.own.segmented.withheld.length > 0;
    const said = own.length ? countOf(own, scene.spacing) : unsure ? "unsure" : "no lesion";
    notes.push(`The network: ${said}; Dice of the two ${answer.dice.toFixed(3)}.`);
    return notes;
  }
  if (!regions.length && !segmented.withheld.length) {
    notes.push("This does not rule a lesion out.");
  }
  if (segmented.withheld.length) {
    notes.push("No lesion is marked, but the map shows something there.");
  } else if (answer.confidence === "low" && !scene.warning) {
    notes.push(regions.length ? "The network answers differently for this image and for other "
      + "views of it, mirrored or smaller: look at the uncertainty map, and do not rely on the outline."
      : peak >= levelOf(0.5)
        ? "The map does show something: look at the heat map, and do not rely on this answer."
        : "Confidence is low: do not rely on this answer.");
  }
  if (reason === "presence") {
    notes.push(`The network's own estimate that there is a lesion at all, ${presence.toFixed(3)}, `
      + `stays under ${postprocessing.min_presence}, below which it marks nothing.`);
  } else if (reason === "peak") {
    notes.push(`The highest probability, ${(peak / 255).toFixed(3)}, stays under `
      + `${postprocessing.min_peak}, below which this network marks nothing.`);
  } else if (reason === "threshold") {
    notes.push(`The highest probability is ${(peak / 255).toFixed(2)}: a lower threshold marks `
      + "something.");
  } else if (segmented.dropped) {
    const dropped = segmented.dropped === 1 ? "1 region" : `${segmented.dropped} regions`;
    notes.push(`${dropped} below ${(postprocessing.min_area * 100).toFixed(2)} % of the image left out.`);
  }
  if (scene.seconds) notes.push(`Network: ${Math.round(scene.seconds * 1000)} ms.`);
  return notes;
}

function showRegions(root, regions, spacing) {
  const most = 20;
  root.querySelector(".regions summary").textContent = regions.length > most
    ? `Regions, the ${most} largest of ${regions.length}` : "Regions, largest first";
  const rows = regions.slice(0, most).map((r, i) => [i + 1,
    spacing ? `${r.area_mm2.toFixed(1)} mm²` : `${r.area_px} px`,
    spacing ? `${r.longest_mm.toFixed(1)} mm` : `${r.longest_px.toFixed(1)} px`,
    spacing ? `${r.perpendicular_mm.toFixed(1)} mm` : `${r.perpendicular_px.toFixed(1)} px`,
    spacing ? `${r.depth_mm.toFixed(1)} mm` : `${r.depth_px} px`, r.height_to_width.toFixed(2),
    r.box_px.join(", "), r.mean_probability.toFixed(2), r.peak_probability.toFixed(2),
    `${(r.share * 100).toFixed(1)} %`]);
  root.querySelector(".regions tbody").replaceChildren(...rows.map((cells) => {
    const line = document.createElement("tr");
    line.append(...cells.map((text) => Object.assign(document.createElement("td"),
      { textContent: text })));
    return line;
  }));
  root.querySelector(".regions").hidden = !regions.length;
}

function showAgreement(root, scene, distance) {
  const number = (v) => (v === Infinity ? "—" : v.toFixed(3));
  const mm = scene.spacing && Math.abs(scene.spacing[0] - scene.spacing[1]) < 1e-9
    ? scene.spacing[0] : null;
  const far = distance === null ? "…" : distance === Infinity ? "—"
    : mm ? `${(distance * mm).toFixed(1)} mm` : `${distance.toFixed(1)} px`;
  const { dice, iou, precision, recall } = scene.agreement;
  const entries = [
    ["Dice", number(dice), "Overlap of mask and ground truth: 0 none, 1 all"],
    ["IoU", number(iou), "What both mark, of what either marks"],
    ["Precision", number(precision), "Share of the mask that lies in the ground truth"],
    ["Recall", number(recall), "Share of the ground truth that the mask finds"],
    ["Hausdorff 95", far, "95 % of the outlines' points lie no farther than this from the other"],
  ];
  scene.hausdorff = distance;
  root.querySelector(".truth dl").replaceChildren(...entries.map(([name, text, title]) => {
    const pair = Object.assign(document.createElement("div"), { title });
    pair.append(Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: text }));
    return pair;
  }));
}

// Dice at 101 thresholds, a few at a time so that the page stays responsive; null where `wanted`
// says that the picture has changed meanwhile.
async function diceByThreshold(scene, wanted) {
  const { probability_u8, width, height, postprocessing, peak, presence } = scene.prediction;
  const points = [];
  for (let i = 0; i <= 100; i++) {
    if (i % 5 === 0) await new Promise((done) => setTimeout(done));
    if (!wanted()) return null;
    const segmented = segmentMap(probability_u8, width, height, postprocessing, i / 100, peak, presence);
    points.push(compareWithTruth(segmented, scene.truth, width).dice);
  }
  return points;
}

function showCurve(root, points, threshold) {
  const line = points.map((d, i) => `${18 + 2.8 * i},${105 - 95 * d}`).join(" ");
  const grid = [0, 0.5, 1].map((d) => `<line x1="18" x2="298" y1="${105 - 95 * d}" `
    + `y2="${105 - 95 * d}" stroke="currentColor" opacity="0.2"/><text x="13" `
    + `y="${108 - 95 * d}" font-size="8" text-anchor="end" fill="currentColor">${d}</text>`).join("");
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((t) => `<text x="${18 + 280 * t}" y="117" font-size="9" `
    + `text-anchor="middle" fill="currentColor">${t}</text>`).join("");
  root.querySelector(".truth svg").innerHTML = `${grid}${ticks}<polyline points="${line}" fill="none" `
    + `stroke="#0072b2" stroke-width="2"/><g class="now" `
    + `transform="translate(${threshold * 280 + 18} 0)">`
    + `<line y1="8" y2="105" stroke="#d55e00" stroke-width="1.5"/></g>`;
}
