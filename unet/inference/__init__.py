"""From an image to a mask: bundles, segmenter, rules, and what is said of the answer."""
