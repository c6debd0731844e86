// Painting A and B: beside each other, or the one's difference to the other.

// The runs of pixels that two masks share, whose own runs go row by row from left to right.
function overlaps(a, b) {
  const shared = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const p = a[i], q = b[j];
    const x0 = Math.max(p.x0, q.x0), x1 = Math.min(p.x1, q.x1);
    if (p.y === q.y && x0 < x1) shared.push({ y: p.y, x0, x1 });
    if (p.y < q.y || (p.y === q.y && p.x1 < q.x1)) i += 1;
    else j += 1;
  }
  return shared;
}

function drawTwo(stage, two, mode) {
  if (two.way === "difference") drawDifference(stage, two, mode);
  else drawBeside(stage, two, mode);
}

// A left of the divider, B right of it: parts of one picture, or a whole one in each half.
function drawBeside(stage, { second, halves, divider }, mode) {
  const { context, canvas } = stage;
  const middle = canvas.width * (halves ? 0.5 : divider.share);
  const draw = (left, right, offset, drawPart) => {
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.beginPath();
    context.rect(left, 0, right - left, canvas.height);
    context.clip();
    stage.offset = offset;
    drawPart();
    if (halves) stage.drawTools();
    context.restore();
  };
  draw(0, middle, 0, () => stage.drawAnswer(mode, stage.painted, LESION));
  draw(middle, canvas.width, halves ? middle : 0, () => {
    // Of a map that B has not, and while it is waited for, the bare picture.
    const shown = !second || (mode === "uncertainty" && !second.disagreement_u8) ? "original" : mode;
    if (shown !== "original") second.painted.bring(shown, second);
    stage.drawAnswer(shown, second && second.painted, SECOND);
  });
  stage.offset = 0;
  if (!halves) stage.drawTools();
}

function drawDifference(stage, two, mode) {
  const { second } = two;
  if (second) {
    if (mode !== "original") paintDifference(second, stage.scene, mode);
    stage.drawPicture(mode, second.difference);
    if (mode === "overlay" || mode === "contour") {
      second.painted.bring("contour", second);
      stage.drawOutlines(mode, stage.painted, LESION);
      stage.drawOutlines(mode, second.painted, SECOND);
    }
  } else {
    stage.drawAnswer(mode, stage.painted, LESION);
  }
  stage.drawTools();
}

// Where it is not painted yet.
function paintDifference({ difference, segmented: { runs } }, scene, mode) {
  const { width, segmented } = scene;
  const { pixels, drawn } = difference;
  if (drawn && drawn.mode === mode && drawn.a === segmented.runs && drawn.b === runs) return;
  difference.drawn = { mode, a: segmented.runs, b: runs };
  pixels.fill(mode === "mask" ? pixelOf([0, 0, 0]) : 0);
  for (const [colour, those] of [[LESION, segmented.runs], [SECOND, runs],
    [BOTH, overlaps(segmented.runs, runs)]]) {
    const pixel = pixelOf(colour);
    for (const { y, x0, x1 } of those) pixels.fill(pixel, y * width + x0, y * width + x1);
  }
  difference.put();
}
