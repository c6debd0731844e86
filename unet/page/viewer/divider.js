// The line between A and B, moved by mouse, touch and keys.

class Divider {
  constructor(element, stage) {
    Object.assign(this, { element, stage });
    this.share = 0.5; // of the stage's width, left of the line
    this.fixed = false;
    this.listen();
  }

  slide(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.place();
    this.stage.invalidate();
  }

  // `fixed` in the middle where the two lie side by side.
  show(on, fixed) {
    this.fixed = fixed;
    this.element.hidden = !on;
    this.element.classList.toggle("fixed", fixed);
    this.element.tabIndex = fixed ? -1 : 0;
    this.element.setAttribute("aria-hidden", fixed);
    this.place();
  }

  place() {
    const percent = Math.round(100 * this.share);
    this.element.style.left = `${this.fixed ? 50 : 100 * this.share}%`;
    this.element.setAttribute("aria-valuenow", percent);
    this.element.setAttribute("aria-valuetext", `${percent} % A, ${100 - percent} % B`);
  }

  listen() {
    const { element, stage } = this;
    let grip = null; // from the pointer to the line, which does not jump
    const shareOf = (event) => {
      const box = stage.root.getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      element.setPointerCapture(event.pointerId);
      element.focus({ preventScroll: true });
      grip = this.share - shareOf(event);
    });
    element.addEventListener("pointermove", (event) => {
      if (grip !== null) this.slide(shareOf(event) + grip);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      element.addEventListener(name, () => { grip = null; });
    }
    element.addEventListener("wheel", (event) => { // the picture under the line is zoomed too
      event.preventDefault();
      stage.canvas.dispatchEvent(new WheelEvent("wheel", event));
    }, { passive: false });
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const far = event.shiftKey ? 0.1 : 0.01;
      const to = { ArrowLeft: this.share - far, ArrowDown: this.share - far, Home: 0, End: 1,
        ArrowRight: this.share + far, ArrowUp: this.share + far, PageDown: this.share - 0.1,
        PageUp: this.share + 0.1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation(); // on the stage around it, arrows move the threshold
      this.slide(to);
    });
  }
}
