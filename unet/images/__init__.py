"""Images in and out of files: reading, DICOM, rendering, generated phantoms."""
