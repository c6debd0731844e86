"""Files in: images, DICOM, examples."""
