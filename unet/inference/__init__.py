"""From an image to a segmentation: bundles, ONNX model, segmenter, prediction, Hub."""
