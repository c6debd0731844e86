// A session that was saved: threshold, edits and calibration, brought back beside their picture.

let session = null; // opened, and waiting for its picture
const MAX_PROMPTS = 100, MAX_POINTS = 10000; // as unet/core/prompts.py
const MAX_SESSION_BYTES = 64e6; // far above the runs of any mask

function tell(text) {
  find(".notice").textContent = text;
  find(".notice").hidden = !text;
}

async function openSession(file, withPicture) {
  try {
    session = file.size <= MAX_SESSION_BYTES ? JSON.parse(await file.text()) : null;
  } catch (error) {
    session = null;
  }
  if (!session || session.schema !== 2 || typeof session.image_sha256 !== "string") {
    session = null;
    return tell(`${file.name} is no session: expected what "Session" below a picture saves.`);
  }
  const isShown = stage.scene && stage.scene.sha256 === session.image_sha256;
  if (isShown && !withPicture) return restore(); // else it is for the picture that comes along
  const waits = "The session waits for its picture: open that now.";
  if (!withPicture) tell(stage.scene ? `This session is of another picture. ${waits}` : waits);
}

function arePrompts({ positive, negative, boxes }) {
  const numbers = (list, count) => Array.isArray(list) && list.length === count
    && list.every(Number.isFinite);
  const all = (list, is, most = MAX_PROMPTS) => Array.isArray(list) && list.length <= most
    && list.every(is);
  const isStroke = (points) => all(points, (point) => numbers(point, 2), MAX_POINTS)
    && points.length > 0;
  return all(positive, isStroke) && all(negative, isStroke) && all(boxes, (box) => numbers(box, 4));
}

function restore() {
  const { scene } = stage, opened = session;
  session = null; // whatever is wrong with it, it is not tried again
  const { threshold, calibrated_mm: scale, edited_runs: runs, network, prompts } = opened;
  const mask = runs && maskOfRuns(runs, scene.width * scene.height);
  const right = Number.isFinite(threshold) && threshold >= 0 && threshold <= 1
    && (runs === null || mask) && (!prompts || arePrompts(prompts))
    && (scale === null || (Array.isArray(scale) && scale.length === 2
      && scale.every((mm) => Number.isFinite(mm) && mm > 0 && mm < 100)));
  const isPointed = pointing.here().prompts.length > 0;
  if (right && scene.value.interactive && (prompts || isPointed) && !opened.pointed) {
    session = { ...opened, pointed: true }; // the rest once that is answered
    if (scene.editor) scene.editor.reset(); // edits would hold what is pointed at
    work.pointed.set(scene.value.frame || 0, prompts ? Pointed.of(prompts) : new Pointed());
    return pointing.follow();
  }
  if (!right) return tell("The session is damaged and was not opened. Save it anew below its picture.");
  const { editor } = scene;
  if (editor) editor.reset();
  thresholdInput.disabled = false;
  setThreshold(threshold);
  calibrate(scale);
  if (mask && startEditing().change((now) => now.set(mask))) update();
  const now = (scene.said || scene.value).network;
  const same = network && network.sha256 === now.sha256;
  const named = network && typeof network.name === "string";
  const name = named ? network.name.slice(0, 60) : "one without a name";
  tell(same ? "The session is open again." : `The session is open again. It was saved with ${
    name}, another network than the one chosen now.`);
}
