"""Downloads by kind, and the session file, which restores a person's work."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable

import numpy as np

from unet.core.image import to_grey
from unet.errors import UserError
from unet.inference.prediction import Segmentation
from unet.page.analysis import Analysis, Drawn
from unet.page.exports import coco, dicom, report

SCHEMA = 2
"""Version of session.json."""


def image_sha256(pixels: np.ndarray) -> str:
    """Names a picture by its grey values alone, uint8 `(H, W)` or `(H, W, 3)`: hex."""
    return hashlib.sha256(to_grey(pixels).tobytes()).hexdigest()


def session_json(analysed: Analysis, answer: Segmentation) -> bytes:
    """Session of a person's work on a picture, for the viewer to open again.

    The picture itself is not in it, but its `image_sha256`; `edited_runs` are as
    `unet.page.exports.report.mask_of_runs` reads them, null where the mask is the network's.
    """
    edited = answer.network_answer is not None
    content = {
        "schema": SCHEMA,
        "image_sha256": image_sha256(analysed.picture.pixels),
        "image_size_px": [answer.mask.shape[1], answer.mask.shape[0]],
        "edited_runs": _runs(answer.mask) if edited else None,
        "calibrated_mm": list(answer.spacing_mm) if answer.calibrated else None,
        "prompts": analysed.prompts and analysed.prompts.to_json(),
    }
    return json.dumps(content | report.made_by(analysed.prediction, answer)).encode()


def _runs(mask: np.ndarray) -> list[int]:
    turns = np.flatnonzero(np.diff(mask.ravel(), prepend=False))
    return np.diff(turns, prepend=0, append=mask.size).tolist()


def _drawn(analysed: Analysis, answer: Segmentation) -> Drawn:
    own = answer.network_answer
    if own is None:
        return "SEMIAUTOMATIC" if analysed.prompts else "AUTOMATIC"
    return "SEMIAUTOMATIC" if own.mask.any() else "MANUAL"


def _image(analysed: Analysis, answer: Segmentation) -> bytes:
    return report.png(analysed.picture.pixels)


def _coco(analysed: Analysis, answer: Segmentation) -> bytes:
    return json.dumps(coco.coco(analysed, answer.mask, _drawn(analysed, answer))).encode()


def _labelme(analysed: Analysis, answer: Segmentation) -> bytes:
    return json.dumps(coco.labelme(analysed, answer.mask, _drawn(analysed, answer))).encode()


def _segmentation(analysed: Analysis, answer: Segmentation) -> bytes:
    return dicom.segmentation(analysed, answer.mask, _drawn(analysed, answer), answer.threshold)


def _secondary_capture(analysed: Analysis, answer: Segmentation) -> bytes:
    edited = answer.network_answer is not None
    return dicom.secondary_capture(analysed, answer.mask, _drawn(analysed, answer), edited)


def _everything(analysed: Analysis, answer: Segmentation) -> bytes:
    """All the others, and the picture that the annotators' files are of, as ZIP.

    What names the patient is left out: it is taken knowingly, by itself.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(coco.IMAGE_NAME, _image(analysed, answer))
        for kind, (name, _, make) in DOWNLOADS.items():
            if kind not in (*NAMES_PATIENT, "all"):
                archive.writestr(name, make(analysed, answer))
    return buffer.getvalue()


Maker = Callable[[Analysis, Segmentation], bytes]
DOWNLOADS: dict[str, tuple[str, str, Maker]] = {  # kind: file name, media type, maker
    "mask": ("mask.png", "image/png", report.mask_png),
    "overlay": ("overlay.png", "image/png", report.overlay_png),
    "contours": ("contours.json", "application/json", report.contours_json),
    "json": ("findings.json", "application/json", report.findings_json),
    "csv": ("findings.csv", "text/csv", report.findings_csv),
    "report": ("report.pdf", "application/pdf", report.report_pdf),
    "coco": ("coco.json", "application/json", _coco),
    "labelme": ("image.json", "application/json", _labelme),  # LabelMe looks for this beside a PNG
    "seg": ("segmentation.dcm", "application/dicom", _segmentation),
    "capture": ("overlay.dcm", "application/dicom", _secondary_capture),
    "session": ("session.json", "application/json", session_json),
    "all": ("ultrasound.zip", "application/zip", _everything),
}
NAMES_PATIENT = ("seg", "capture")
"""Kinds that carry the identity of a DICOM source, as the standard requires."""


def make(kind: str, analysed: Analysis, answer: Segmentation) -> tuple[str, str, bytes]:
    """File name, media type and content of what is taken home.

    Raises:
        UserError: There is no such kind, or it cannot be made of this picture.
    """
    if kind not in DOWNLOADS:
        raise UserError(f"expected one of {', '.join(DOWNLOADS)}; got {kind!r:.40}")
    name, media_type, maker = DOWNLOADS[kind]
    return name, media_type, maker(analysed, answer)
