// A file a person gives → grey pixels, a bitmap to show, and the size of a pixel. The same readings as
// unet/images; what cannot be read is an Error whose message is for the person.

import { readDicom } from "./dicom.js";

const MAX_PIXELS = 4096 * 4096;

// As Pillow computes ITU-R 601 luma; equal channels stay what they are.
function lumaOf(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = (rgba[4 * i] * 19595 + rgba[4 * i + 1] * 38470 + rgba[4 * i + 2] * 7471 + 0x8000) >> 16;
  }
  return grey;
}

export async function readFile(file, frame = 0) {
  if (!file.size) throw new Error(`${file.name}: the file is empty. Export the image again.`);
  const head = new Uint8Array(await file.slice(128, 132).arrayBuffer());
  if (String.fromCharCode(...head) === "DICM") {
    const found = readDicom(new Uint8Array(await file.arrayBuffer()), frame, MAX_PIXELS, file.name);
    const bitmap = await createImageBitmap(new ImageData(found.rgba, found.width, found.height));
    return { ...found, bitmap, grey: lumaOf(found.rgba) };
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name}: not an image that this browser opens. Expected a PNG, JPEG, BMP, `
      + "WebP or uncompressed DICOM file.");
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    throw new Error(`${file.name}: too large; at most 16 megapixels. Shrink or crop the image.`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000"; // what shows through is black
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return { bitmap, grey: lumaOf(data), width, height, spacing: null, frames: 1 };
}
