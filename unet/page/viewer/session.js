// A session that was saved: threshold, edits and calibration, brought back beside their picture.

let session = null; // opened, and waiting for its picture

function tell(text) {
  find(".notice").textContent = text;
  find(".notice").hidden = !text;
}

async function openSession(file, withPicture) {
  try {
    session = JSON.parse(await file.text());
  } catch (error) {
    session = null;
  }
  if (!session || session.schema !== 1 || typeof session.image_sha256 !== "string") {
    session = null;
    return tell(`${file.name} is no session: expected what "Session" below a picture saves.`);
  }
  if (stage.scene && stage.scene.sha256 === session.image_sha256) return restore();
  const waits = "The session waits for its picture: open that now.";
  if (!withPicture) tell(stage.scene ? `This session is of another picture. ${waits}` : waits);
}

function restore() {
  const { scene } = stage;
  const { threshold, calibrated_mm: scale, edited_runs: runs, network } = session;
  const mask = runs && maskOfRuns(runs, scene.width * scene.height);
  const right = Number.isFinite(threshold) && threshold >= 0 && threshold <= 1
    && (runs === null || mask)
    && (scale === null || (Array.isArray(scale) && scale.length === 2
      && scale.every((mm) => mm > 0 && mm < 100)));
  session = null;
  if (!right) return tell("The session is damaged, and was not opened.");
  const { editor } = scene;
  if (editor) editor.reset();
  thresholdInput.disabled = false;
  setThreshold(threshold);
  calibrate(scale);
  if (mask && startEditing().change((now) => now.set(mask))) update();
  const now = props.value.network;
  const same = network && network.sha256 === now.sha256;
  tell(same ? "The session is open again." : `The session is open again. It was saved with ${
    String(network && network.name).slice(0, 60)}, another network than the one chosen now.`);
}
