"""Files that people download: mask, overlay, report, annotations, DICOM, ZIP."""
