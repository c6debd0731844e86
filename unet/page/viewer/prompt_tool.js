// Pointing at lesions: the answers that are asked for, and the buttons. Part of main.js' scope.

class Pointing {
  constructor() {
    this.request = 0; // of the frame that is shown
    this.carried = 0; // of others: counted downwards, so that none overtakes that one
    this.waiting = new Map(); // what is to be done with an answer, by request
    this.bar = find(".pointing");
    this.none = new Pointed(); // where no picture is shown
    this.hand = new PointingHand(stage, { pointed: () => this.here(), changed: () => this.follow(),
      chosen: () => this.tell() });
  }

  // The prompts of the frame that is shown.
  here() {
    const { scene } = stage;
    return scene ? this.of(scene.value.frame) : this.none;
  }

  of(frame = 0) {
    if (!work.pointed.has(frame)) work.pointed.set(frame, new Pointed());
    return work.pointed.get(frame);
  }

  // What is said of a value's picture because of what is pointed at there; null for nothing.
  saidOf(value) {
    const pointed = work.pointed.get(value.frame || 0);
    const said = pointed && pointed.prompts.length ? pointed.said : null;
    return said && said.of === value.id ? said : null;
  }

  get isHeld() {
    return isEdited(stage.scene);
  }

  // A picture is shown: the prompts that are there are of an earlier answer where it is a new one.
  shown() {
    this.hand.chosen = -1;
    if (this.here().prompts.length && !stage.scene.said) this.follow();
    this.tell();
  }

  // The prompts have changed: bring the answer up to them.
  async follow() {
    const pointed = this.here(), { scene } = stage;
    const again = () => load({ ...scene.value, pixels: scene.pixels });
    this.tell();
    stage.invalidate();
    if (!pointed.prompts.length) {
      this.request += 1;
      pointed.said = null;
      return again();
    }
    tell("");
    const said = await this.ask(scene.value, pointed);
    if (said.request !== this.request || work.pointed.get(scene.value.frame || 0) !== pointed
      || !stage.scene || stage.scene.value.id !== scene.value.id) return;
    if (said.error) {
      session = null;
      return tell(said.error);
    }
    if (this.isHeld || hand.stroke) {
      return tell("The mask was edited before the answer came. Press Edit, then 'Undo all edits', to "
        + "point again.");
    }
    pointed.said = said;
    await again();
  }

  ask(value, pointed, request = ++this.request) {
    return new Promise((done) => {
      this.waiting.set(request, (answer) => done({ ...answer, of: value.id }));
      trigger("point", { id: value.id, frame: value.frame || 0, request, prompts: pointed.toJSON() });
    });
  }

  async receive(answer) {
    const done = this.waiting.get(answer.request);
    this.waiting.delete(answer.request);
    if (!done) return;
    if (answer.error) return done(answer);
    try {
      done({ ...answer, ...(answer.pixels || await two.pixelsOf(answer)) });
    } catch (problem) {
      done({ request: answer.request, error: "This browser could not read the answer." });
    }
  }

  step(by) {
    const pointed = this.here();
    const done = pointed.done + by;
    if (done < 0 || done > pointed.steps.length) return;
    pointed.done = done;
    this.hand.chosen = -1;
    this.follow();
  }

  // ---- clips ----

  // The lesion pointed at, in the frames before and after: each is clicked where the one next to it
  // has its middle. It ends where it is lost, or at a frame that a person has pointed at.
  async carry() {
    const { scene } = stage, start = scene.value.frame, { picture } = work;
    const mine = this.carrying = {};
    let carried = 0;
    for (const by of [1, -1]) {
      let middle = middleOf(scene.segmented.runs);
      for (let frame = start + by; middle && frame >= 0 && frame < clip.frames.length; frame += by) {
        if (this.of(frame).prompts.length && !this.of(frame).carried) break;
        middle = await this.carryTo(frame, middle);
        if (this.carrying !== mine || work.picture !== picture) return;
        carried += Boolean(middle);
        tell(`Carried to ${carried} frame${carried === 1 ? "" : "s"}…`);
      }
    }
    this.carrying = null;
    tell(carried ? `Carried to ${carried} other frame${carried === 1 ? "" : "s"}.`
      : "The lesion is not found in the frames next to this one.");
    this.tell();
    clip.draw();
  }

  // The middle of what is found in a frame; null where that is nothing.
  async carryTo(frame, middle) {
    const mine = this.carrying, { picture } = work;
    const isOver = () => this.carrying !== mine || work.picture !== picture;
    const there = await clip.come(frame);
    if (!there || isOver()) return null;
    const pointed = Pointed.of({ positive: [[middle]] });
    pointed.carried = true;
    const said = await this.ask(there.value, pointed, --this.carried);
    const own = this.of(frame).prompts.length && !this.of(frame).carried; // made meanwhile
    if (said.error || own || isOver()) return null;
    const { width, height } = stage.scene;
    const prediction = predictionOf(said, width, height);
    const { segmented } = answerOf(prediction, clip.threshold);
    if (!segmented.runs.length) return null;
    pointed.said = said;
    work.pointed.set(frame, pointed);
    clip.keep(there.value, prediction);
    return middleOf(segmented.runs);
  }

  takeBack() {
    this.carrying = null;
    const frames = [...work.pointed].filter(([, pointed]) => pointed.carried).map(([frame]) => frame);
    for (const frame of frames) {
      work.pointed.delete(frame);
      clip.forget(frame);
    }
    tell(`Taken back from ${frames.length} frame${frames.length === 1 ? "" : "s"}.`);
    if (frames.includes(stage.scene.value.frame)) {
      load({ ...stage.scene.value, pixels: stage.scene.pixels });
    }
    this.tell();
    clip.ask();
  }

  // ---- what is said ----

  tell() {
    const { scene } = stage;
    const pointed = this.here(), held = this.isHeld;
    find("[data-tool=point]").hidden = !scene || !scene.value.interactive;
    find("[data-point=undo]").disabled = held || !pointed.done;
    find("[data-point=redo]").disabled = held || pointed.done === pointed.steps.length;
    find("[data-point=remove]").disabled = held || !pointed.prompts[this.hand.chosen];
    find("[data-point=clear]").disabled = held || !pointed.prompts.length;
    find("[data-point=carry]").hidden = find("[data-point=back]").hidden = !clip.frames.length;
    find("[data-point=carry]").disabled = held || !scene || !scene.said || Boolean(this.carrying);
    find("[data-point=back]").disabled = ![...work.pointed.values()].some((p) => p.carried);
    for (const button of this.bar.querySelectorAll("[data-prompt]")) {
      button.setAttribute("aria-pressed", button.dataset.prompt === this.hand.kind);
    }
    find(".pointing small").textContent = held
      ? "The mask is edited by hand. Press Edit, then 'Undo all edits', to point."
      : pointed.prompts.length ? "Drag a prompt to move it, or point again where the outline is wrong."
        : "Click a lesion, draw along it, or drag a box around it. Alt and click: not here.";
    stage.invalidate();
  }
}

// The middle of a mask where that is in it, else the nearest place that is: [x, y].
function middleOf(runs) {
  let pixels = 0, sumX = 0, sumY = 0;
  for (const { y, x0, x1 } of runs) {
    pixels += x1 - x0;
    sumX += (x1 - x0) * (x0 + x1) / 2;
    sumY += (x1 - x0) * (y + 0.5);
  }
  if (!pixels) return null;
  const x = sumX / pixels, y = sumY / pixels;
  const nearest = (run) => [Math.min(Math.max(x, run.x0 + 0.5), run.x1 - 0.5), run.y + 0.5];
  const far = ([px, py]) => Math.hypot(px - x, py - y);
  return runs.map(nearest).reduce((a, b) => (far(b) < far(a) ? b : a));
}

function point(on) {
  if (!stage.scene) return;
  if (on) edit(false);
  find(".pointing").hidden = !on;
  for (const name of ["aria-pressed", "aria-expanded"]) find("[data-tool=point]").setAttribute(name, on);
  hand.choose(on ? "point" : null);
  pointing.tell();
}

const pointing = new Pointing();
hand.pointing = pointing;
host.viewer.pointing = pointing;
find("[data-tool=point]").addEventListener("click", () => point(find(".pointing").hidden));
for (const button of host.querySelectorAll("[data-prompt]")) {
  button.addEventListener("click", () => {
    pointing.hand.kind = button.dataset.prompt;
    hand.choose("point");
    pointing.tell();
  });
}
const POINT_BUTTONS = { undo: () => pointing.step(-1), redo: () => pointing.step(1),
  remove: () => pointing.hand.remove(), clear: () => pointing.hand.make([]),
  carry: () => pointing.carry(), back: () => pointing.takeBack() };
for (const button of host.querySelectorAll("[data-point]")) {
  button.addEventListener("click", () => POINT_BUTTONS[button.dataset.point]());
}

setMode("overlay");
watch("value", () => {
  clip.pause();
  return load();
});
load();
