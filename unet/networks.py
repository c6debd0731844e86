"""The bundles a page can run, each loaded when it is first asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from unet.bundle import BundleError, read_info

if TYPE_CHECKING:
    from unet.inference import Segmenter


class Networks:
    """Segmenters by name; the first bundle is the default.

    Attributes:
        bundles: Folder of each network by its name.
    """

    def __init__(self, bundles: list[Path]):
        """Take bundle folders, the default first.

        Raises:
            BundleError: A folder is no bundle, or there is none.
        """
        self.bundles = {read_info(folder).model.name: Path(folder) for folder in bundles}
        if not self.bundles:
            raise BundleError("There is no network in weights/. Run train.py fit first.")
        self._loaded: dict[str, Segmenter] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> str:
        """The name of the default network."""
        return next(iter(self.bundles))

    def get(self, name: str) -> Segmenter:
        """The segmenter of that name; KeyError if there is none."""
        from unet.inference import Segmenter

        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = Segmenter.load(self.bundles[name])
            return self._loaded[name]
