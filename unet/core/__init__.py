"""Pure functions on arrays: image, mask, regions, metrics, prompts, rendering."""
