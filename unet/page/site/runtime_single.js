// The runtime as part of the worker, for the page in one file.

import * as ort from "onnxruntime-web/wasm";

self.bundledRuntime = ort;
