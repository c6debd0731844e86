// Opens session files beside a picture of 12 × 20 pixels as the viewer does, without a browser.
// A line of base64 a file on stdin; for each a line of JSON: what is told, and what was brought back.

const { readFileSync } = require("fs");
const { createInterface } = require("readline");

const folder = process.argv[2]; // of the viewer's scripts
const source = ["edit.js", "prompt_model.js", "session.js"]
  .map((name) => readFileSync(`${folder}/${name}`, "utf8"));
const viewer = new Function("LESION", "stage", "thresholdInput", "work", "pointing", "find",
  "setThreshold", "calibrate", "update", "startEditing", `${source.join("\n")}
  return { openSession, restore, MaskEditor, waits: () => session !== null };`);

async function open(bytes) {
  const notice = {}, brought = {};
  const [height, width] = [12, 20];
  const value = { interactive: true, frame: 0, network: { name: "net", sha256: "cd".repeat(32) } };
  const scene = { sha256: "ab".repeat(32), width, height, editor: null, value, said: null };
  const work = { pointed: new Map() };
  const follow = () => { // as if the network had answered at once
    brought.prompts = work.pointed.get(0).toJSON();
    scene.said = value;
    page.restore();
  };
  const pointing = { follow, here: () => work.pointed.get(0) || { prompts: [] } };
  const page = viewer("0, 0, 0", { scene }, {}, work, pointing, () => notice,
    (threshold) => { brought.threshold = threshold; }, (scale) => { brought.scale = scale; }, () => {},
    () => scene.editor ??= new page.MaskEditor(new Uint8Array(width * height), width, height));
  const file = { name: "session.json", size: bytes.length, text: async () => bytes.toString("utf8") };
  await page.openSession(file, false);
  const mask = scene.editor && [...scene.editor.mask];
  return { told: notice.textContent, mask, waits: page.waits(), ...brought };
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const started = performance.now();
    const answer = await open(Buffer.from(line, "base64"))
      .catch((error) => ({ thrown: String(error.stack).slice(0, 300) }));
    answer.seconds = (performance.now() - started) / 1000;
    answer.mebibytes = process.memoryUsage().rss / 2 ** 20;
    console.log(JSON.stringify(answer));
  }
})();
