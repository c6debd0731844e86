// What a person points at on a picture: clicks, strokes and boxes, each a step that can be undone.

const NEAR_PX = 11; // of the screen, within which a prompt is meant that is there
const APART_PX = 4; // between two points of a stroke
const PROMPT_COLOURS = { positive: `rgb(${LESION})`, negative: "#56b4e9", box: `rgb(${LESION})` };

// The prompts of one picture. A prompt is { kind: "positive" | "negative" | "box", points: [[x, y], …] }, a
// box has two points. What has been said to them stays beside them, and of which picture it was said.
class Pointed {
  constructor() {
    this.steps = [];
    this.done = 0;
    this.said = null;
    this.carried = false; // from another frame of the clip
  }

  get prompts() {
    return this.done ? this.steps[this.done - 1] : [];
  }

  make(prompts) {
    this.steps.length = this.done;
    this.steps.push(prompts);
    this.done += 1;
    this.carried = false;
  }

  // As the network's side reads them, unet/core/prompts.py.
  toJSON() {
    const strokes = (kind) => this.prompts.filter((prompt) => prompt.kind === kind).map((h) => h.points);
    return { positive: strokes("positive"), negative: strokes("negative"),
      boxes: this.prompts.filter(({ kind }) => kind === "box").map(({ points }) => points.flat()) };
  }

  static of({ positive = [], negative = [], boxes = [] }) {
    const pointed = new Pointed();
    const strokes = (kind, all) => all.map((points) => ({ kind, points }));
    pointed.make([...strokes("positive", positive), ...strokes("negative", negative),
      ...boxes.map(([a, b, c, d]) => ({ kind: "box", points: [[a, b], [c, d]] }))]);
    return pointed;
  }
}

// The hand that points. `pointed` gives the prompts of the picture that is shown, `changed` is told.
class PointingHand {
  constructor(stage, { pointed, changed, chosen }) {
    Object.assign(this, { stage, pointed, changed, told: chosen });
    this.kind = "positive";
    this.chosen = -1; // which prompt is
    this.drawn = null; // the prompt that is being made
    this.moved = null; // { from, points }: the prompt that is being moved
  }

  // Which prompt lies near a point of the image; -1 for none.
  at([x, y]) {
    const reach = NEAR_PX * this.stage.ratio / this.stage.scale;
    const near = ([px, py]) => Math.hypot(px - x, py - y) <= reach;
    return this.pointed().prompts.findLastIndex(({ points }) => points.some(near));
  }

  down(point, other) {
    this.choose(this.at(point));
    if (this.chosen >= 0) {
      this.moved = { from: point, by: [0, 0] };
    } else {
      const kind = !other || this.kind === "box" ? this.kind
        : this.kind === "positive" ? "negative" : "positive";
      this.drawn = { kind, points: [point] };
    }
  }

  move(point) {
    const { drawn, moved, stage } = this;
    const far = ([x, y]) => Math.hypot(point[0] - x, point[1] - y) * stage.scale / stage.ratio;
    if (drawn && drawn.kind === "box") drawn.points[1] = point;
    else if (drawn && far(drawn.points.at(-1)) >= APART_PX) drawn.points.push(point);
    else if (moved && (moved.by[0] || moved.by[1] || far(moved.from) >= APART_PX)) {
      moved.by = [point[0] - moved.from[0], point[1] - moved.from[1]];
    }
  }

  up() {
    const { drawn, moved } = this, { prompts } = this.pointed();
    this.drawn = this.moved = null;
    if (drawn && this.isWhole(drawn)) this.make([...prompts, drawn]);
    else if (moved && (moved.by[0] || moved.by[1])) {
      this.make(prompts.with(this.chosen, shifted(prompts[this.chosen], moved.by)));
    }
  }

  // A click where a box is wanted is none.
  isWhole({ kind, points }) {
    if (kind !== "box") return true;
    const least = APART_PX * this.stage.ratio / this.stage.scale;
    return points.length > 1 && points[0].every((v, axis) => Math.abs(v - points[1][axis]) > least);
  }

  cancel() {
    this.drawn = this.moved = null;
  }

  make(prompts) {
    this.pointed().make(prompts);
    this.changed();
  }

  choose(chosen) {
    this.chosen = chosen;
    this.told();
  }

  remove() {
    const { prompts } = this.pointed();
    if (!prompts[this.chosen]) return;
    const left = prompts.toSpliced(this.chosen, 1);
    this.chosen = -1;
    this.make(left);
  }

  draw(context, toScreen, ratio) {
    const { drawn, moved } = this, { prompts } = this.pointed();
    prompts.forEach((prompt, i) => {
      const there = moved && i === this.chosen ? shifted(prompt, moved.by) : prompt;
      drawPrompt(context, there, toScreen, ratio, i === this.chosen);
    });
    if (drawn) drawPrompt(context, drawn, toScreen, ratio, false);
  }
}

function shifted({ kind, points }, [dx, dy]) {
  return { kind, points: points.map(([x, y]) => [x + dx, y + dy]) };
}

function drawPrompt(context, { kind, points }, toScreen, ratio, chosen) {
  const places = points.map(toScreen), colour = PROMPT_COLOURS[kind];
  if (kind === "box") {
    const [[ax, ay], [bx, by]] = [places[0], places[1] || places[0]];
    context.setLineDash([6 * ratio, 4 * ratio]);
    drawLine(context, [[ax, ay], [bx, ay], [bx, by], [ax, by], [ax, ay]], ratio, colour);
    context.setLineDash([]);
    for (const [x, y] of places) drawCircle(context, x, y, 4 * ratio, ratio, colour);
    return;
  }
  if (places.length > 1) drawLine(context, places, ratio, colour);
  const [x, y] = places[0], arm = 4 * ratio;
  if (chosen) drawCircle(context, x, y, 11 * ratio, ratio, "#fff");
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  context.beginPath();
  context.arc(x, y, 8 * ratio, 0, 2 * Math.PI);
  context.fill();
  drawCircle(context, x, y, 8 * ratio, ratio, colour);
  drawLine(context, [[x - arm, y], [x + arm, y]], ratio, "#fff");
  if (kind === "positive") drawLine(context, [[x, y - arm], [x, y + arm]], ratio, "#fff");
}
