"""Pictures that are no breast ultrasounds: how often a network warns of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def other_pictures() -> dict[str, np.ndarray]:
    """Pictures that installed packages ship, noise, gradients and blanks: uint8 by name."""
    import site

    from unet.io.images import ImageError, read_picture

    found: dict[str, np.ndarray] = {}
    for folder in site.getsitepackages():
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".dcm", ".tif"):
                continue
            try:
                picture = read_picture(path).pixels
            except (ImageError, OSError):
                continue
            if min(picture.shape[:2]) >= 64:
                found["/".join(path.parts[-3:])] = picture
    random = np.random.default_rng(0)
    for number in range(6):
        found[f"noise {number}"] = random.integers(0, 256, (300, 400), np.uint8)
        found[f"gradient {number}"] = (
            np.linspace(0, 255 - 20 * number, 120_000)
            .astype(np.uint8)
            .reshape(300, 400)[:: 1 if number % 2 else -1]
        )
        found[f"blank {number}"] = np.full((300, 400), 51 * number, np.uint8)
    return found


def unfamiliar(weights: Path, data: list[Path]) -> None:
    """Print how often a picture is warned of, by where it comes from; `data` are data sets."""
    from unet import Segmenter
    from unet.data.cases import read_grey
    from unet.data.loading import find_cases
    from unet.data.phantom import KINDS, make_phantom
    from unet.inference.bundle import read_info

    segmenter = Segmenter.load(weights)

    def told(name: str, pictures: dict[str, np.ndarray]) -> None:
        warned = [
            key
            for key, picture in pictures.items()
            if not segmenter.predict_views(picture).familiar
        ]
        share = len(warned) / len(pictures)
        print(f"{name}: {len(warned)} of {len(pictures)} warned of ({share:.1%})")
        if share < 0.5:
            print(f"  warned: {', '.join(warned) or 'none'}")
        else:
            print(f"  not warned: {', '.join(sorted(set(pictures) - set(warned))) or 'none'}")

    cases = {case.id: case for folder in data for case in find_cases(folder)[0]}
    for split, ids in read_info(weights).split.items():
        here = [case_id for case_id in ids if case_id in cases]
        if here:
            told(split, {case_id: read_grey(cases[case_id]) for case_id in here})
    told("phantoms", {f"{k} {i}": make_phantom(i, k).image for k in KINDS for i in range(10)})
    told("other pictures", other_pictures())
