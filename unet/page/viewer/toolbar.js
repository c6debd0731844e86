// What a person does to the mask and its scale, and the buttons for it. Part of main.js' scope.

// ---- editing ----

function startEditing() {
  const { scene } = stage;
  if (!scene.editor) {
    const { width, height } = scene;
    scene.editor = new MaskEditor(maskOf(scene.segmented.runs, width, height), width, height);
    scene.editor.threshold = Number(thresholdInput.value);
    work.editors.set(scene.frame, scene.editor);
  }
  return scene.editor;
}

// The threshold is held while a mask is corrected: it would take the corrections away.
function showEdited(edited) {
  const { editor } = stage.scene;
  thresholdInput.disabled = edited;
  thresholdInput.title = edited ? "The mask is edited by hand. Press Edit, then 'Undo all edits', to move this." : "";
  find("[data-step=undo]").disabled = !editor || !editor.done;
  find("[data-step=redo]").disabled = !editor || editor.done === editor.steps.length;
  find("[data-step=reset]").disabled = !edited;
}

function showTool() {
  for (const button of host.querySelectorAll("[data-hand]")) {
    button.setAttribute("aria-pressed", button.dataset.hand === hand.tool);
  }
  host.classList.toggle("drawing", Boolean(hand.tool));
  find("[name=radius]").value = hand.radius;
  find("[data-out=radius]").textContent = `${(2 * hand.radius).toFixed(0)} px`;
  if (hand.tool && stage.measuring) measure(false);
}

function edit(on) {
  if (!stage.scene) return;
  if (on) point(false);
  find(".editing").hidden = !on;
  for (const name of ["aria-pressed", "aria-expanded"]) find("[data-tool=edit]").setAttribute(name, on);
  hand.choose(on ? "brush" : null);
}

function step(name) {
  const { editor } = stage.scene;
  hand.cancel();
  if (editor && editor[name]()) update();
}

find("[data-tool=edit]").addEventListener("click", () => edit(find(".editing").hidden));
for (const button of host.querySelectorAll("[data-hand]")) {
  const tool = button.dataset.hand;
  button.addEventListener("click", () => hand.choose(hand.tool === tool ? null : tool));
}
for (const button of host.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => step(button.dataset.step));
}
const WHOLE = { fillHoles: (e) => e.fillHoles(), smooth: (e) => e.smooth(), grow: (e) => e.grow(1),
  shrink: (e) => e.grow(0) };
for (const button of host.querySelectorAll("[data-whole]")) {
  button.addEventListener("click", () => {
    hand.cancel();
    if (WHOLE[button.dataset.whole](startEditing())) update();
  });
}
find("[name=radius]").addEventListener("input", (event) => {
  hand.radius = Number(event.target.value);
  showTool();
});
host.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (!stage.scene || !(event.ctrlKey || event.metaKey) || (key !== "z" && key !== "y")
    || event.target.type === "number") return; // which takes back what is typed
  event.preventDefault();
  const redo = key === "y" || event.shiftKey;
  if (!find(".pointing").hidden && !pointing.isHeld) pointing.step(redo ? 1 : -1);
  else step(redo ? "redo" : "undo");
});
stage.root.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tool = { b: "brush", x: "eraser", p: "polygon", d: "remove" }[event.key.toLowerCase()];
  if (event.key.toLowerCase() === "e") edit(find(".editing").hidden);
  else if (event.key.toLowerCase() === "g" && stage.scene && stage.scene.value.interactive) {
    point(find(".pointing").hidden);
  }
  else if (event.key.toLowerCase() === "f") fill();
  else if (tool && !find(".editing").hidden) hand.choose(hand.tool === tool ? null : tool);
});

// ---- millimetres ----

function measure(on) {
  stage.measuring = on;
  find("[data-tool=ruler]").setAttribute("aria-pressed", on);
  host.classList.toggle("measuring", on);
  if (on && hand.tool) hand.choose(null);
  if (!on) stage.ruler = [];
  showScale();
  stage.invalidate();
}

function showScale() {
  const line = stage.ruler.length === 2;
  find(".calibration").hidden = !stage.scene || !(stage.measuring || work.calibrated);
  find(".calibration label").hidden = find(".calibration [type=submit]").hidden = !line;
  find("[data-tool=forget]").hidden = !work.calibrated;
  const sides = work.calibrated && [...new Set([...work.calibrated].reverse())]; // width × height
  find("[data-out=scale]").textContent = sides
    ? `Calibrated by hand: a pixel is ${sides.map((mm) => mm.toPrecision(3)).join(" × ")} mm.`
    : line ? "Is its true length known, as of a ruler or caliper in the picture?"
      : "Click the two ends of a length.";
}

function calibrate(spacing) {
  work.calibrated = spacing;
  if (stage.scene) stage.scene.own = null;
  showScale();
  update();
}

find(".calibration").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stage.ruler.length < 2) return;
  const [[ax, ay], [bx, by]] = stage.ruler;
  const [tall, wide] = stage.scene.own_spacing || [1, 1]; // pixels may not be square
  const far = Math.hypot((bx - ax) * wide, (by - ay) * tall);
  const factor = Number(event.target.elements.mm.value) / far;
  const sides = [tall * factor, wide * factor];
  if (sides.every((side) => side > 0 && side < 100)) {
    tell("");
    calibrate(sides);
  } else {
    tell("No scale was set: the two ends lie too close, or the length is too large. Measure again.");
  }
});
find("[data-tool=forget]").addEventListener("click", () => calibrate(null));

// ---- room ----

if (window.innerWidth <= 640) find(".regions").open = false; // a phone shows the answer alone

function fill() {
  if (document.fullscreenElement === host) document.exitFullscreen();
  else host.requestFullscreen();
}

find("[data-tool=full]").addEventListener("click", fill);
find("[data-tool=full]").hidden = !document.fullscreenEnabled;
host.addEventListener("fullscreenchange", () => {
  find("[data-tool=full]").setAttribute("aria-pressed", document.fullscreenElement === host);
});
