// The hand on the picture: brush, eraser, polygon, removal and pointing, by mouse, touch, pen and keys.

const HAND_TOOLS = ["brush", "eraser", "polygon", "remove"];

class Hand {
  // `editor` gives the mask to be corrected; `changed` is told of every change, `chosen` of the tool.
  constructor(stage, { editor, changed, chosen }) {
    Object.assign(this, { stage, editor, changed, chosen });
    this.tool = null;
    this.radius = 8; // pixels of the image
    this.points = []; // of the polygon that is drawn
    this.at = null; // where the tool is, in pixels of the image
    this.stroke = null; // where the stroke came from
    this.placed = null; // what the pointer that is down did at once: a "corner", or a "region" gone
    this.pointing = null; // see prompt_tool.js
    stage.hand = this;
  }

  choose(tool) {
    this.cancel();
    this.tool = tool;
    this.chosen();
    this.stage.invalidate();
  }

  resize(factor) {
    this.radius = Math.min(200, Math.max(0.5, this.radius * factor));
    this.chosen();
    this.stage.invalidate();
  }

  get paints() {
    return this.tool === "brush" || this.tool === "eraser";
  }

  // `other` where a key asks for the other of two kinds.
  down({ imageX, imageY }, other = false) {
    const point = [imageX, imageY];
    this.at = point;
    if (this.tool === "point") {
      if (this.pointing.isHeld) return;
      this.stroke = point;
      return this.pointing.hand.down(point, other);
    }
    if (this.paints) {
      this.editor().begin();
      this.stroke = point;
      this.paint(point);
    } else if (this.tool === "polygon") {
      this.corner(point);
    } else if (this.editor().removeRegion(Math.floor(imageX), Math.floor(imageY))) {
      this.placed = "region";
      this.changed();
    }
  }

  move({ imageX, imageY }) {
    this.at = [imageX, imageY];
    if (this.stroke && this.tool === "point") this.pointing.hand.move(this.at);
    else if (this.stroke) this.paint(this.at);
    this.stage.invalidate();
  }

  paint(point) {
    this.editor().brush(this.stroke, point, this.radius, this.tool === "brush" ? 1 : 0);
    this.stroke = point;
    this.changed();
  }

  up() {
    this.placed = null;
    if (!this.stroke) return;
    this.stroke = null;
    if (this.tool === "point") return this.pointing.hand.up();
    this.editor().end();
    this.changed();
  }

  // A stroke or polygon that is not finished is as if it had not begun.
  cancel() {
    if (this.stroke && this.tool === "point") {
      this.pointing.hand.cancel();
      this.stroke = null;
    } else if (this.stroke) {
      this.editor().cancel();
      this.stroke = null;
      this.changed();
    }
    this.points = [];
    this.stage.invalidate();
  }

  // A second finger has come: what the first one did was not meant. Corners before it stay.
  withdraw() {
    const { placed } = this;
    this.placed = null;
    if (placed === "corner") this.points.pop();
    else if (placed === "region" && this.editor().undo()) this.changed();
    else if (this.stroke) this.cancel();
    this.stage.invalidate();
  }

  corner(point) {
    const near = ([x, y]) => Math.hypot(x - point[0], y - point[1]) * this.stage.scale
      < 10 * this.stage.ratio;
    if (this.points.length > 2 && near(this.points[0])) return this.close();
    if (this.points.length && near(this.points[this.points.length - 1])) return;
    this.points.push(point);
    this.placed = "corner";
    this.stage.invalidate();
  }

  close() {
    const { points } = this;
    this.points = [];
    if (points.length > 2 && this.editor().change(() => this.editor().polygon(points, 1))) {
      this.changed();
    }
    this.stage.invalidate();
  }

  // Arrows move the tool, the space bar uses it; true where the key was one of ours.
  key(event) {
    const { width, height } = this.stage.scene;
    const far = event.shiftKey ? 10 : 1;
    const step = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far],
      ArrowDown: [0, far] }[event.key];
    if (step) {
      const [x, y] = this.at || [width / 2, height / 2];
      this.move({ imageX: Math.min(width, Math.max(0, x + step[0])),
        imageY: Math.min(height, Math.max(0, y + step[1])) });
    } else if (event.key === " ") {
      const [imageX, imageY] = this.at || [width / 2, height / 2];
      this.down({ imageX, imageY });
      this.up();
    } else if (event.key === "[" || event.key === "]") {
      this.resize(event.key === "[" ? 0.8 : 1.25);
    } else if (this.tool === "point" && ["Delete", "Backspace"].includes(event.key)) {
      this.pointing.hand.remove();
    } else if (event.key === "Enter" && this.points.length) {
      this.close();
    } else if (event.key === "Backspace" && this.points.length) {
      this.points.pop();
      this.stage.invalidate();
    } else if (event.key === "Escape") {
      if (this.stroke || this.points.length) this.cancel();
      else this.choose(null);
    } else {
      return false;
    }
    return true;
  }

  draw(context, toScreen, scale, ratio) {
    if (!this.at || this.tool === "point" && this.pointing.hand.at(this.at) >= 0) return;
    const [x, y] = toScreen(this.at);
    if (this.paints) {
      drawCircle(context, x, y, Math.max(this.radius * scale, 2 * ratio), ratio,
        this.tool === "brush" ? `rgb(${LESION})` : "#fff");
      return;
    }
    const corners = [...this.points.map(toScreen), ...(this.tool === "polygon" ? [[x, y]] : [])];
    if (corners.length > 1) drawLine(context, corners, ratio, `rgb(${LESION})`);
    for (const [cx, cy] of this.points.map(toScreen)) {
      drawCircle(context, cx, cy, 4 * ratio, ratio, `rgb(${LESION})`);
    }
    drawLine(context, [[x - 6 * ratio, y], [x + 6 * ratio, y]], ratio, "#fff");
    drawLine(context, [[x, y - 6 * ratio], [x, y + 6 * ratio]], ratio, "#fff");
  }
}
