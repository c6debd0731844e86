"""Breast-ultrasound lesion segmentation: data, U-Net, training, evaluation, inference.

`import unet` is light: TensorFlow is imported where a network is built, not here.
"""

__version__ = "0.1.0"
__all__ = ["Segmenter"]


def __getattr__(name: str):
    if name == "Segmenter":
        from unet.inference.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module 'unet' has no attribute {name!r}")
