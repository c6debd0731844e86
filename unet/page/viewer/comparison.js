// A second answer beside the first: another network's, or the same network's at another threshold.
// A is what the viewer shows without it, what is edited and taken home; B is only looked at.

const SLOW_MS = 30000; // after so long without an answer that is said
const SETTLE_MS = 200; // frames of a clip that pass by are not asked about
const OFF = "", OTHER_THRESHOLD = "threshold", OTHER_NETWORK = "network:"; // the select's values
const PLAIN_MODES = ["overlay", "contour", "original", "mask"]; // those that a difference has too

class Two {
  // `ask` asks the page for a network's map, which comes to `receive`; `tell` says what went wrong.
  constructor(host, stage, { ask, tell, setMode }) {
    Object.assign(this, { host, stage, ask, tell, setMode });
    this.scene = null;
    this.chosen = OFF;
    this.second = null; // B, once it is known
    this.way = "swipe";
    this.request = 0; // an answer that arrives late must not replace a newer one
    this.known = new Map(); // what networks say of the picture that is shown, by name
    this.select = this.find("[name=second]");
    this.threshold = this.find("[name=threshold-b]");
    this.divider = new Divider(this.find(".divider"), stage);
    stage.two = this;
    this.listen();
  }

  find(selector) {
    return this.host.querySelector(selector);
  }

  get on() {
    return this.scene !== null && this.chosen !== OFF;
  }

  get halves() {
    return this.on && this.way === "side";
  }

  get network() {
    const { chosen } = this;
    return chosen.startsWith(OTHER_NETWORK) ? chosen.slice(OTHER_NETWORK.length) : null;
  }

  // ---- which two ----

  // Another picture, another network A or another truth: B follows. `value` is what the page sent.
  show(scene, value) {
    this.rearrange(() => {
      Object.assign(this, { scene, value, second: null });
      if (scene) this.offer();
    });
    if (!scene) return;
    const picture = scene.sha256 || scene;
    if (this.picture !== picture) this.known.clear();
    this.picture = picture;
    this.begin(SETTLE_MS);
  }

  offer() {
    const others = this.value.networks.filter((name) => name !== this.value.network.name);
    this.select.replaceChildren(new Option("nothing", OFF),
      new Option("another threshold", OTHER_THRESHOLD),
      ...others.map((name) => new Option(name, OTHER_NETWORK + name)));
    this.select.value = this.chosen;
    if (this.select.selectedIndex < 0) this.select.value = OFF;
    this.chosen = this.select.value;
  }

  begin(wait = 0) {
    const { scene, network, known } = this;
    const request = ++this.request;
    clearTimeout(this.timer);
    this.second = null;
    if (this.chosen === OTHER_THRESHOLD) {
      this.take({ prediction: scene.prediction, disagreement_u8: scene.disagreement_u8, name: this.value.network.name });
    } else if (known.has(network)) {
      this.take(known.get(network));
    } else if (network) {
      this.timer = setTimeout(() => {
        this.ask({ id: this.value.id, frame: this.value.frame || 0, network, request });
        this.timer = setTimeout(() => this.tell(`${network} has not answered yet. Wait, or check `
          + 'the connection and choose "nothing", then it again.'), SLOW_MS);
      }, wait);
    }
    this.update();
    this.stage.invalidate();
  }

  // What the page says to `ask`: the request's number and the map, or an `error` in words.
  async receive(answer) {
    const { network, scene } = this;
    const wanted = () => answer.request === this.request && !this.second;
    if (!wanted()) return;
    clearTimeout(this.timer);
    const { width, height } = scene;
    let maps = null, { error } = answer;
    try {
      maps = error ? null : answer.pixels || await this.pixelsOf(answer);
      if (!error && maps.probability_u8.length !== width * height) error = "its map is of another size";
    } catch (problem) {
      error = "this browser could not read its map";
    }
    if (!wanted()) return;
    this.tell(error ? `${network} could not be compared: ${error.replace(/\.$/, "")}.` : "");
    if (error) {
      this.rearrange(() => { this.chosen = this.select.value = OFF; });
    } else {
      const { postprocessing, presence, confidence, warning } = answer;
      const peak = maps.probability_u8.reduce((a, b) => Math.max(a, b), 0);
      const prediction = { probability_u8: maps.probability_u8, width, height, postprocessing, presence, confidence, peak };
      this.known.set(network, { prediction, disagreement_u8: maps.disagreement_u8, warning, name: network });
      this.take(this.known.get(network));
    }
    this.update();
    this.stage.invalidate();
  }

  async pixelsOf({ probability, uncertainty, checksum }) {
    const [probability_u8, disagreement_u8] = await Promise.all([probability, uncertainty].map(
      async (png) => png && greyOf(await bytesOf(png))));
    if (probability_u8.reduce((a, b) => a + b, 0) !== checksum) throw new Error("altered");
    return { probability_u8, disagreement_u8 };
  }

  // B keeps its threshold from frame to frame; with another picture it starts anew.
  take({ prediction, disagreement_u8, warning, name }) {
    const { width, height, truth } = this.scene;
    const { picture, series } = this.value;
    this.second = { prediction, probability_u8: prediction.probability_u8, disagreement_u8, warning, name, width, height, truth,
      colour: SECOND, painted: new Painted(width, height),
      difference: new Painted(width, height) };
    const kept = `${this.chosen} ${this.network ? picture : series}`;
    if (this.kept === kept) return;
    this.kept = kept;
    const first = Number(this.find("[name=threshold]").value);
    this.threshold.value = this.network ? prediction.postprocessing.threshold
      : first > 0.5 ? first - 0.25 : first + 0.25;
  }

  // ---- what is said ----

  // Everything that follows the two masks. No request leaves the page.
  update() {
    const { second, scene } = this;
    this.find(".second").hidden = !scene;
    for (const part of this.host.querySelectorAll(".with-two")) part.hidden = !this.on;
    this.threshold.disabled = !second;
    this.showWay();
    if (!this.on) return;
    this.find("[data-out=threshold-b]").textContent = second ? Number(this.threshold.value).toFixed(2) : "";
    if (!second) {
      this.find(".pair p").textContent = `Asking ${this.network} about this picture…`;
      this.find(".pair table").hidden = true;
      return;
    }
    const threshold = Number(this.threshold.value);
    if (second.threshold !== threshold) {
      const { probability_u8, width, height, postprocessing, peak, presence } = second.prediction;
      second.threshold = threshold;
      second.segmented = segmentMap(probability_u8, width, height, postprocessing, threshold, peak, presence);
    }
    this.showNumbers();
  }

  showNumbers() {
    const { scene, second } = this;
    const shared = overlaps(scene.segmented.runs, second.segmented.runs);
    const sum = scene.segmented.pixels + second.segmented.pixels;
    const dice = sum ? 2 * shared.reduce((a, { x0, x1 }) => a + x1 - x0, 0) / sum : 1;
    const by = scene.own ? ", edited by hand" : "";
    const at = Number(this.find("[name=threshold]").value).toFixed(2);
    const rows = [["A", `${this.value.network.name}${by}`, at, scene.segmented],
      ["B", second.name, second.threshold.toFixed(2), second.segmented]];
    this.find(".pair p").textContent = `${rows.map(([letter, name, threshold]) => (
      `${letter}: ${name} at ${threshold}`)).join("; ")}. Dice of A and B: ${dice.toFixed(3)}.${
      second.warning ? ` B: ${second.warning}` : ""}`;
    this.find(".pair table").hidden = !scene.truth;
    if (!scene.truth) return;
    this.find(".pair tbody").replaceChildren(...rows.map(([letter, name, threshold, mask]) => {
      const agreed = compareWithTruth(mask, scene.truth, scene.width);
      const line = document.createElement("tr");
      const head = Object.assign(document.createElement("th"), { scope: "row", textContent: letter });
      line.append(head, ...[name, threshold, agreed.dice.toFixed(3), agreed.iou.toFixed(3)].map(
        (text) => Object.assign(document.createElement("td"), { textContent: text })));
      return line;
    }));
  }

  // The probability of a pixel, for the read-out.
  probabilityAt(i) {
    const first = (this.stage.scene.probability_u8[i] / 255).toFixed(2);
    if (!this.on || !this.second || !this.network) return first;
    return `A ${first}  B ${(this.second.probability_u8[i] / 255).toFixed(2)}`;
  }

  // ---- how the two are looked at ----

  // A change of what shares the stage; what is in the middle of the picture's part stays there.
  rearrange(change) {
    const { stage } = this, before = stage.paneWidth;
    change();
    if (stage.fitted) stage.fit();
    else stage.x += (stage.paneWidth - before) / 2;
    this.update();
    stage.invalidate();
  }

  look(way) {
    if (way === "difference" && !PLAIN_MODES.includes(this.stage.mode)) this.setMode("overlay");
    this.rearrange(() => { this.way = way; });
  }

  // Maps have no difference of masks: whoever chooses one sees both instead.
  follow(mode) {
    if (this.way === "difference" && !PLAIN_MODES.includes(mode)) this.look("swipe");
  }

  showWay() {
    for (const button of this.host.querySelectorAll("[data-way]")) {
      button.setAttribute("aria-pressed", button.dataset.way === this.way);
    }
    this.find(".legend.difference").hidden = !this.on || this.way !== "difference";
    this.divider.show(this.on && this.way !== "difference", this.halves);
  }

  listen() {
    this.select.addEventListener("change", () => {
      this.tell("");
      this.rearrange(() => {
        this.chosen = this.select.value;
        this.begin();
      });
    });
    let waiting = false;
    this.threshold.addEventListener("input", () => {
      if (waiting) return; // once a frame, however often the hand moves
      waiting = true;
      requestAnimationFrame(() => {
        const started = performance.now();
        waiting = false;
        this.update();
        if (this.scene) this.scene.milliseconds = performance.now() - started;
        this.stage.invalidate();
      });
    });
    for (const button of this.host.querySelectorAll("[data-way]")) {
      button.addEventListener("click", () => this.look(button.dataset.way));
    }
  }
}
