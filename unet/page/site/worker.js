// Runs networks beside the page, so that it stays responsive. Messages: `load`, and `run` of a picture
// with or without prompts.

import { predict, predictPointed } from "./network.js";

const sessions = new Map();
let ort = null;

// The file's bytes, with how many have come told on the way.
async function fetched(address, told) {
  if (address instanceof Uint8Array) return address;
  const response = await fetch(address);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const total = Number(response.headers.get("content-length")) || 0;
  const parts = [], reader = response.body.getReader();
  for (let length = 0; ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    told((length += value.length), total);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function load({ about, runtime }, told) {
  if (!ort) {
    ort = self.bundledRuntime || await import(runtime.script);
    ort.env.wasm.numThreads = self.crossOriginIsolated && !self.bundledRuntime
      ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
    if (runtime.wasm instanceof Uint8Array) ort.env.wasm.wasmBinary = runtime.wasm.buffer;
    else ort.env.wasm.wasmPaths = { wasm: runtime.wasm };
  }
  if (!sessions.has(about.name)) {
    const loading = fetched(about.graph, told).then((content) =>
      ort.InferenceSession.create(content, { executionProviders: ["wasm"] }));
    sessions.set(about.name, loading);
    loading.catch(() => sessions.delete(about.name)); // the next try fetches again
  }
  return sessions.get(about.name);
}

let turn = Promise.resolve(); // one image at a time

self.onmessage = ({ data }) => {
  const answer = (type, content) => self.postMessage({ id: data.id, type, ...content });
  const told = (loaded, total) => answer("progress", { loaded, total });
  turn = turn.then(async () => {
    try {
      const session = await load(data, told);
      if (data.type === "load") return answer("done", {});
      const { grey, width, height } = data;
      answer("done", data.prompts
        ? await predictPointed(ort, session, data.about, grey, width, height, data.prompts)
        : await predict(ort, session, data.about, grey, width, height));
    } catch (error) {
      answer("failed", { message: String(error && error.message || error) });
    }
  });
};
