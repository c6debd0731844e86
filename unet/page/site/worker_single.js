import "./runtime_single.js";
import "./worker.js";
