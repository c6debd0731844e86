// The frames of a clip: asked for one after the other, kept, shown and played. Part of main.js' scope.

// Pictures of frames held ready to be shown; of those farther away only the areas stay, and they are
// asked for again where they are shown.
const CLIP_BYTES = 150e6;
const FRAME_MS = 100, LEAST_FRAME_MS = 33; // where the file does not say how long a frame lasts
const LATER_MS = 500; // until what is not to be had now is asked for again
const REST_MS = 250; // a frame shown as long as this is followed by the rest of the page

class Clip {
  constructor() {
    this.bar = find(".clip");
    this.slider = find("[name=frame]");
    this.plot = new AreaPlot(find(".areas"), (frame) => this.visit(frame));
    this.frames = []; // { id, key, areas, value, failed } of each that has come; none: no clip
    this.ticket = 0; // of the last request
    this.asking = 0; // the ticket that is waited for
    this.playing = false;
    this.extra = null; // a frame that is wanted beside the one that is shown
    this.most = CLIP_BYTES;
    this.slider.addEventListener("input", () => this.visit(Number(this.slider.value) - 1));
    find("[data-clip=back]").addEventListener("click", () => this.step(-1));
    find("[data-clip=on]").addEventListener("click", () => this.step(1));
    find("[data-clip=play]").addEventListener("click", () => this.toggle());
    this.focused = null;
    host.addEventListener("focusin", (event) => { this.focused = event.target; });
    host.addEventListener("focusout", () => { this.focused = null; });
    host.addEventListener("keydown", (event) => {
      if (!this.frames.length || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.type === "number") return;
      const action = { ",": () => this.step(-1), ".": () => this.step(1), k: () => this.toggle() }[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }

  // ---- which frame ----

  // A picture is shown: the clip it is of goes on, begins or ends.
  shown(value, scene) {
    if (!(value.frames > 1)) return this.close();
    if (this.series !== value.series) this.begin(value);
    this.latest = value.id;
    if (!value.truth) this.keep(value, scene.prediction);
    this.at = value.frame;
    if (!this.isMissing(this.wanted)) this.wanted = this.at; // else it is shown when it comes
    this.tell();
    clearTimeout(this.resting);
    if (!this.playing) this.resting = setTimeout(() => this.rest(), REST_MS);
    this.ask();
  }

  begin(value) {
    this.series = value.series;
    this.wanted = value.frame;
    this.frames = Array(value.frames).fill(null);
    this.milliseconds = Math.max(LEAST_FRAME_MS, value.frame_ms || FRAME_MS);
    this.threshold = Number(thresholdInput.value);
    this.followed = value.id; // whoever gave the picture knows that it is shown
    this.asking = this.held = 0;
    this.lost = false;
    this.slider.max = value.frames;
    this.bar.hidden = find(".areas").hidden = false;
  }

  close() {
    this.pause();
    clearTimeout(this.resting);
    this.frames = [];
    this.series = null;
    this.asking = 0;
    this.bar.hidden = find(".areas").hidden = true;
  }

  // By hand: what plays stops.
  visit(frame) {
    this.pause();
    return this.go(frame);
  }

  step(by) {
    let frame = this.wanted + by;
    while (this.frames[frame] && this.frames[frame].failed) frame += by;
    if (frame >= 0 && frame < this.frames.length) this.visit(frame);
  }

  // Show a frame; one that is not there yet as soon as it comes.
  async go(frame) {
    if (hand.stroke) return; // half a stroke belongs to the frame it is drawn on
    this.wanted = frame;
    this.tell();
    if (this.isMissing(frame)) return this.ask();
    const { value } = this.frames[frame];
    if (!value) return;
    if (isEdited(stage.scene)) thresholdInput.value = this.threshold; // that one was held
    await load(value);
  }

  isMissing(frame) {
    const there = this.frames[frame];
    return !there || !there.value && !there.failed;
  }

  // Let what follows the frame, as another network and the ground truth, follow this one.
  rest() {
    clearTimeout(this.resting);
    if (!this.frames.length || host.dataset.loaded === this.followed) return;
    this.followed = host.dataset.loaded;
    trigger("select", { id: this.followed, frame: this.at });
  }

  // ---- playing ----

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.tell();
    this.resting = setTimeout(() => this.rest(), REST_MS);
  }

  async play() {
    const mine = this.playing = {}; // whoever pauses and plays again plays anew
    const series = this.series;
    edit(false); // the mask that is drawn on must not go away
    this.tell();
    while (this.playing === mine && this.series === series && !hand.tool && !this.lost) {
      const started = performance.now();
      const next = this.following();
      if (next === this.at) break;
      if (this.wanted !== next || !this.isMissing(next)) await this.go(next);
      const spent = performance.now() - started;
      await new Promise((done) => setTimeout(done, Math.max(10, this.milliseconds - spent)));
    }
    if (this.playing === mine) this.pause();
  }

  following() {
    let frame = this.at;
    do frame = (frame + 1) % this.frames.length;
    while (frame !== this.at && this.frames[frame] && this.frames[frame].failed);
    return frame;
  }

  // ---- asking ----

  // One frame at a time, so that others who wait have their turn; the one that is wanted first.
  ask() {
    if (this.asking || this.lost || !this.frames.length) return;
    const frame = this.next();
    if (frame === null) return;
    const known = this.frames[frame] ? this.frames[frame].id : null;
    this.asking = ++this.ticket;
    this.asked = frame;
    trigger("tick", { ticket: this.asking, id: this.latest, known, frame });
  }

  next() {
    const { frames, wanted } = this;
    if (wanted !== this.at && this.isMissing(wanted)) return wanted;
    if (this.extra !== null && this.isMissing(this.extra)) return this.extra;
    for (let i = 0; i < frames.length; i++) {
      const frame = (this.at + i) % frames.length;
      if (!frames[frame]) return frame;
    }
    return null;
  }

  // What was asked for: a value to show, or that there is none: `later`, `failed` or `gone` for good.
  async take(answer) {
    if (answer.ticket !== this.asking) return; // of a clip that is not shown any more
    const { value, failed, gone } = answer;
    const frame = this.asked;
    const later = answer.later || value && value.series !== this.series;
    if (value && !later) {
      const map = value.pixels || await mapOf(value);
      if (answer.ticket !== this.asking) return;
      this.latest = value.id;
      this.keep(value, { ...map, postprocessing: value.postprocessing, presence: value.presence });
    }
    this.asking = 0;
    this.lost = Boolean(gone);
    if (failed) this.frames[frame] = { failed };
    if (failed || gone) this.wanted = this.at;
    this.tell();
    if (later) return setTimeout(() => this.ask(), LATER_MS);
    this.ask();
    if (this.wanted === frame && this.at !== frame) await this.go(frame);
  }

  keep(value, prediction) {
    const before = this.frames[value.frame];
    const key = frameKey(value, prediction.probability_u8);
    const areas = before && before.key === key ? before.areas : areasByLevel(prediction);
    if (before && before.value) this.held -= bytesHeld(before.value);
    this.held += bytesHeld(value);
    this.frames[value.frame] = { id: value.id, key, areas, value };
    this.makeRoom();
  }

  // A frame as soon as it is there, or null where it cannot be had; nothing is shown of it.
  async come(frame) {
    const { series } = this;
    while (this.series === series && !this.lost && this.isMissing(frame)) {
      this.extra = frame;
      this.ask();
      await new Promise((done) => setTimeout(done, 20));
    }
    this.extra = null;
    const there = this.series === series && this.frames[frame];
    return there && there.value ? there : null;
  }

  // What was said of a frame since the network saw it alone.
  async forget(frame) {
    const there = this.frames[frame];
    if (!there || !there.value) return;
    const map = there.value.pixels || await mapOf(there.value);
    if (this.frames[frame] !== there) return;
    this.keep(there.value, { ...map, postprocessing: there.value.postprocessing, presence: there.value.presence });
    this.draw();
  }

  makeRoom() {
    const far = (frame) => Math.abs(frame - this.wanted);
    while (this.held > this.most) {
      const ready = [...this.frames.keys()].filter((i) => this.frames[i] && this.frames[i].value
        && i !== this.wanted && i !== this.extra); // nor what somebody waits for
      if (!ready.length) break;
      const farthest = ready.reduce((a, b) => (far(b) > far(a) ? b : a));
      this.held -= bytesHeld(this.frames[farthest].value);
      this.frames[farthest].value = null;
    }
  }

  // ---- what is said ----

  tell() {
    const { frames, wanted } = this;
    if (!frames.length) return;
    this.slider.value = wanted + 1;
    this.slider.setAttribute("aria-valuetext", `Frame ${wanted + 1} of ${frames.length}`);
    const number = String(wanted + 1).padStart(String(frames.length).length, "\u2007"); // the slider keeps its length
    find("[data-out=frame]").textContent = `${number} of ${frames.length}`;
    find("[data-clip=back]").disabled = wanted === 0;
    find("[data-clip=on]").disabled = wanted === frames.length - 1;
    find("[data-clip=play]").textContent = this.playing ? "Pause" : "Play";
    find(".answer").setAttribute("aria-live", this.playing ? "off" : "polite");
    // A button that is disabled while it has the focus would take the keys with it.
    if (this.focused && this.focused.disabled) stage.root.focus({ preventScroll: true });
    this.draw();
  }

  // The area in each frame, of the mask as it is corrected where it is; null where none is known.
  areas() {
    const level = levelOf(this.threshold);
    return this.frames.map((frame) => {
      if (!frame || frame.failed) return null;
      const editor = work.editors.get(frame.key);
      const edited = Boolean(editor && editor.edited);
      return { area: edited ? editor.mask.reduce((a, b) => a + b, 0) : frame.areas[level], edited };
    });
  }

  // Threshold, edits or scale may have changed.
  draw() {
    if (!this.frames.length) return;
    const { scene } = stage;
    if (!isEdited(scene)) this.threshold = Number(thresholdInput.value);
    const pixel = scene.spacing ? scene.spacing[0] * scene.spacing[1] : 1;
    const points = this.areas().map((point) => point && { ...point, area: point.area * pixel });
    const unit = scene.spacing ? "mm²" : "pixels";
    this.plot.show(points, this.at, {
      text: (area) => `${scene.spacing ? area.toFixed(1) : area} ${unit}`,
      tick: (area) => Number(area.toPrecision(2)).toLocaleString("en"),
    });
    const edited = points.some((point) => point && point.edited);
    find(".areas figcaption").textContent = `Area of the mask by frame in ${unit}, all regions together, `
      + `at the threshold ${this.threshold.toFixed(2)}; 0 where no lesion is marked.`
      + (edited ? " ◆ edited by hand." : "");
    this.tellProgress(points);
  }

  tellProgress(points) {
    const done = points.filter(Boolean).length, all = points.length;
    const failed = this.frames.filter((frame) => frame && frame.failed);
    const progress = find(".progress");
    progress.hidden = done === all;
    progress.querySelector("progress").hidden = this.lost || done + failed.length === all;
    progress.querySelector("progress").max = all;
    progress.querySelector("progress").value = done;
    progress.querySelector("span").textContent = [`${done} of ${all} frames segmented.`,
      this.lost ? "The page no longer keeps this clip (an hour at most). Choose its file again." : "",
      failed.length ? `${failed.length} cannot be read: ${failed[0].failed}` : ""].join(" ").trim();
  }
}

function isEdited(scene) {
  return Boolean(scene && scene.editor && scene.editor.edited);
}

async function mapOf(value) {
  const bitmap = await bytesOf(value.probability);
  return { probability_u8: greyOf(bitmap), width: bitmap.width, height: bitmap.height };
}

function bytesHeld({ pixels, image, probability, uncertainty }) {
  if (!pixels) return image.length + probability.length + (uncertainty || "").length;
  return pixels.width * pixels.height * 6; // four of the bitmap, two maps
}
