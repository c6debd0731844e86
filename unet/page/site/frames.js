// The frames of a clip that have been analysed: what the network says of each, packed. The picture is
// read from the file again.

import { unzlibSync, zlibSync } from "fflate";

const MAPS = ["probability_u8", "disagreement_u8"];

export class Frames {
  constructor() {
    this.of = null; // the clip and the network
    this.packed = new Map();
  }

  // What the network says of a frame; `make` asks it where that is not known yet.
  async get(of, frame, make) {
    if (this.of !== of) Object.assign(this, { of, packed: new Map() });
    const { packed } = this;
    if (packed.has(frame)) return changed(packed.get(frame), (map) => unzlibSync(map));
    const prediction = await make();
    packed.set(frame, changed(prediction, (map) => zlibSync(map, { level: 1 })));
    return prediction;
  }
}

function changed(prediction, change) {
  const maps = MAPS.map((name) => [name, prediction[name] && change(prediction[name])]);
  return { ...prediction, ...Object.fromEntries(maps) };
}
