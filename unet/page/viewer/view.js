// The stage: zoom, pan, ruler, read-out, and drawing a frame.

class Stage {
  constructor(root, onThreshold, onMode) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.scene = null;
    this.mode = "overlay";
    this.opacity = 0.35;
    this.comparing = false;
    this.measuring = false;
    this.ruler = [];
    this.hand = null; // see brush_tools.js
    this.two = null; // see comparison.js
    this.offset = 0; // of the half that is drawn
    this.half = 0; // where the half begins that a pointer is in
    this.pointers = new Map();
    this.looked = null; // the place that the read-out is of
    this.frames = []; // milliseconds of the last repaints
    this.onThreshold = onThreshold;
    this.onMode = onMode;
    this.fitted = true;
    this.waiting = false;
    new ResizeObserver(() => this.resize()).observe(root);
    this.listen();
  }

  show(scene) {
    const sameSize = this.scene && this.scene.width === scene.width
      && this.scene.height === scene.height;
    this.scene = scene;
    this.painted = new Painted(scene.width, scene.height);
    this.ruler = [];
    this.hand.points = [];
    if (!sameSize) this.fitted = true;
    else if (this.looked) this.readout(this.looked); // its probability is another
    this.resize();
  }

  // The part of the canvas that shows the whole picture: half of it where two lie side by side.
  get paneWidth() {
    return this.two.halves ? this.canvas.width / 2 : this.canvas.width;
  }

  // Repaint in the next frame.
  invalidate() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  resize() {
    this.ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.root;
    this.canvas.width = Math.max(1, Math.round(clientWidth * this.ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * this.ratio));
    if (this.fitted) this.fit();
    this.invalidate();
  }

  fit() {
    if (!this.scene) return;
    const { width, height } = this.scene;
    this.scale = Math.min(this.paneWidth / width, this.canvas.height / height);
    this.x = (this.paneWidth - width * this.scale) / 2;
    this.y = (this.canvas.height - height * this.scale) / 2;
    this.fitted = true;
    this.invalidate();
  }

  // Zoom about a point of the canvas, which stays where it is.
  zoom(factor, x = this.paneWidth / 2, y = this.canvas.height / 2) {
    if (!this.scene) return;
    const least = Math.min(this.paneWidth / this.scene.width,
      this.canvas.height / this.scene.height) / 2;
    const scale = Math.min(64 * this.ratio, Math.max(least, this.scale * factor));
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.invalidate();
  }

  // A pointer event's place on the canvas and in the image.
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const onCanvas = (event.clientX - box.left) * this.ratio;
    if (!this.pointers.size) { // a drag stays in the half where it began
      this.half = this.two.halves && onCanvas >= this.paneWidth ? this.paneWidth : 0;
    }
    const x = onCanvas - this.half, y = (event.clientY - box.top) * this.ratio;
    return { x, y, imageX: (x - this.x) / this.scale, imageY: (y - this.y) / this.scale };
  }

  draw() {
    const started = performance.now();
    const { context, canvas, scene } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!scene) return;
    const mode = this.comparing ? "original" : this.mode;
    if (mode !== "original") this.painted.bring(mode, scene);
    if (this.two.on) {
      drawTwo(this, this.two, mode);
    } else {
      this.drawAnswer(mode, this.painted, LESION);
      this.drawTools();
    }
    this.frames.push(performance.now() - started + (scene.milliseconds || 0));
    scene.milliseconds = 0;
    if (this.frames.length > 500) this.frames.shift();
  }

  drawAnswer(mode, painted, colour) {
    this.drawPicture(mode, painted);
    if (mode === "overlay" || mode === "contour") this.drawOutlines(mode, painted, colour);
    if (mode === "heat" || mode === "uncertainty") this.drawOutlines(mode, painted, [255, 255, 255]);
  }

  drawPicture(mode, painted) {
    const { context, scale } = this;
    context.setTransform(scale, 0, 0, scale, this.x + this.offset, this.y);
    context.imageSmoothingEnabled = scale < 2 * this.ratio;
    context.drawImage(this.scene.bitmap, 0, 0);
    if (mode === "original" || mode === "contour") return;
    context.globalAlpha = mode === "mask" ? 1 : this.opacity;
    context.drawImage(painted.layer, 0, 0);
    context.globalAlpha = 1;
  }

  drawOutlines(mode, painted, colour) {
    const { context, ratio, scale } = this;
    context.lineCap = "square";
    context.lineWidth = (mode === "contour" ? 2 : 1.5) * ratio / scale;
    context.strokeStyle = `rgb(${colour})`;
    context.stroke(painted.outline);
    context.setLineDash([8 * ratio / scale, 7 * ratio / scale]);
    context.lineWidth = 2 * ratio / scale;
    context.stroke(painted.withheld);
    context.setLineDash([]);
  }

  drawTools() {
    const { context, canvas, ratio, scene } = this;
    context.setTransform(1, 0, 0, 1, this.offset, 0);
    context.lineCap = "butt";
    const toScreen = ([x, y]) => [x * this.scale + this.x, y * this.scale + this.y];
    this.hand.pointing.hand.draw(context, toScreen, ratio);
    if (this.hand.tool) this.hand.draw(context, toScreen, this.scale, ratio);
    if (scene.spacing) {
      const bar = scaleBar(this.paneWidth, this.scale / scene.spacing[1]);
      const x = 16 * ratio, y = canvas.height - 18 * ratio;
      drawLine(context, [[x, y], [x + bar.length, y]], ratio, "#fff");
      drawLabel(context, `${bar.mm} mm`, x + bar.length / 2, y - 14 * ratio, ratio);
    }
    const points = this.ruler.map(toScreen);
    if (points.length) drawLine(context, points, ratio, "#56b4e9");
    for (const [x, y] of points) {
      drawLine(context, [[x - 5 * ratio, y], [x + 5 * ratio, y]], ratio, "#56b4e9");
      drawLine(context, [[x, y - 5 * ratio], [x, y + 5 * ratio]], ratio, "#56b4e9");
    }
    if (points.length === 2) {
      const [a, b] = points;
      drawLabel(context, this.rulerText(), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2 - 16 * ratio, ratio);
    }
  }

  rulerText() {
    if (this.ruler.length < 2) return "";
    const [[ax, ay], [bx, by]] = this.ruler;
    const pixels = `${Math.hypot(bx - ax, by - ay).toFixed(1)} px`;
    const { spacing } = this.scene;
    if (!spacing) return pixels;
    const mm = Math.hypot((bx - ax) * spacing[1], (by - ay) * spacing[0]);
    return `${mm.toFixed(1)} mm (${pixels})`;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      if (!this.scene) return;
      event.preventDefault();
      // A pinch on a touchpad comes as a turned wheel with Ctrl.
      if (this.hand.paints && !event.ctrlKey) return this.hand.resize(event.deltaY < 0 ? 1.1 : 1 / 1.1);
      const { x, y } = this.place(event);
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => {
      if (this.hand.tool === "polygon") this.hand.close();
      else if (!this.measuring && !this.hand.tool) this.fit();
    });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        this.pointers.delete(event.pointerId);
        if (name === "pointerup") this.hand.up();
        else this.hand.withdraw();
      });
    }
    canvas.addEventListener("pointerleave", () => {
      this.readout(null);
      if (this.hand.tool && !this.hand.stroke) this.hand.at = null;
      this.invalidate();
    });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("keyup", (event) => event.key === "c" && this.compare(false));
  }

  down(event) {
    const moves = event.button === 1 && this.hand.tool; // the wheel's button, while another draws
    if (!this.scene || (event.button !== 0 && !moves)) return;
    if (moves) event.preventDefault();
    this.root.focus({ preventScroll: true });
    const place = this.place(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, place);
    const many = this.pointers.size > 1; // fingers, which move the picture
    if (this.measuring) {
      const point = [place.imageX, place.imageY], { ruler } = this;
      return this.measure(many ? ruler.slice(0, -1) : ruler.length === 1 ? [ruler[0], point] : [point]);
    }
    if (!this.hand.tool || moves) return;
    if (many) this.hand.withdraw();
    else this.hand.down(place, event.altKey);
  }

  measure(points) {
    this.ruler = points;
    this.root.dispatchEvent(new CustomEvent("ruler", { detail: this.rulerText() }));
    this.invalidate();
  }

  move(event) {
    if (!this.scene) return;
    const place = this.place(event);
    this.readout(place);
    const before = this.pointers.get(event.pointerId);
    const drawing = this.hand.tool && this.pointers.size < 2 && !(event.buttons & 4);
    if (drawing && (this.hand.stroke || !before)) return this.hand.move(place);
    if (!before || drawing || (this.measuring && this.pointers.size < 2)) return;
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (p) => Math.hypot(p.x - other.x, p.y - other.y);
      const middle = [(place.x + other.x) / 2, (place.y + other.y) / 2];
      this.zoom(apart(place) / Math.max(apart(before), 1), ...middle);
    }
    const share = 1 / this.pointers.size;
    this.x += (place.x - before.x) * share;
    this.y += (place.y - before.y) * share;
    this.fitted = false;
    this.pointers.set(event.pointerId, place);
    this.invalidate();
  }

  readout(place) {
    this.looked = place;
    let text = "";
    if (place && this.scene) {
      const { width, height } = this.scene;
      const x = Math.floor(place.imageX), y = Math.floor(place.imageY);
      if (x >= 0 && y >= 0 && x < width && y < height) {
        text = `x ${x}  y ${y}  probability ${this.two.probabilityAt(y * width + x)}`;
      }
    }
    this.root.dispatchEvent(new CustomEvent("readout", { detail: text }));
  }

  compare(on) {
    if (this.comparing === on) return;
    this.comparing = on;
    this.invalidate();
  }

  key(event) {
    if (!this.scene || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.hand.tool && this.hand.key(event)) return event.preventDefault();
    const step = event.shiftKey ? 0.05 : 0.01;
    const actions = {
      ArrowRight: () => this.onThreshold(step),
      ArrowUp: () => this.onThreshold(step),
      ArrowLeft: () => this.onThreshold(-step),
      ArrowDown: () => this.onThreshold(-step),
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      0: () => this.fit(),
      c: () => this.compare(true),
      Escape: () => this.measure([]),
    };
    const action = actions[event.key] || (/^[1-7]$/.test(event.key)
      && (() => this.onMode(Number(event.key) - 1)));
    if (!action) return;
    event.preventDefault();
    action();
  }
}
