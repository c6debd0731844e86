"""The networks a page can run: bundled ones, and one that arrives from the Hub."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unet.errors import UserError
from unet.inference.bundle import BundleError, bundle_name, read_info

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

CANNOT_LOAD = "The network {} cannot be loaded. Choose another one."
RETRY_S = 600.0
"""Seconds between two tries to fetch from the Hub."""


@dataclass(frozen=True)
class ModelSource:
    """Folder and Hub revision of a network; the revision of a bundled one is None."""

    folder: Path
    revision: str | None = None


class ModelRegistry:
    """Segmenters by name, each loaded when it is first asked for.

    A bundled network is named as its folder, one from the Hub as its repository.

    Attributes:
        default: The name of the network the page starts with.
        guide_folder: The bundle of the network that answers to what one points at; None if none.
        notice: What to tell visitors about the Hub; empty if nothing.
    """

    def __init__(self, bundles: list[Path], interactive_model: Path | None = None):
        """Take bundle folders, the default first, and the folder of the interactive model.

        Raises:
            BundleError: A folder is no bundle, or there is none.
        """
        self._sources = {bundle_name(folder): ModelSource(Path(folder)) for folder in bundles}
        for folder in [*bundles, *([interactive_model] if interactive_model else [])]:
            read_info(folder)
        if not self._sources:
            raise BundleError("There is no network in weights/. Run train.py fit first.")
        self.interactive_folder = interactive_model
        self.default = next(iter(self._sources))
        self.notice = ""
        self._loaded: dict[str, Segmenter] = {}
        self._loading = {name: threading.Lock() for name in self._sources}
        self._guide_loaded: Segmenter | None = None
        self._guide_loading = threading.Lock()
        self._failed: set[str] = set()

    @property
    def sources(self) -> dict[str, ModelSource]:
        """Sources of the networks by name."""
        return dict(self._sources)

    def get(self, name: str) -> Segmenter:
        """The segmenter of that name; KeyError if there is none.

        Raises:
            UserError: It cannot be loaded; why, and from where, is told on the console alone.
        """
        if name not in self._loaded:
            with self._loading[name]:  # nobody who uses another network waits
                if name not in self._loaded:
                    try:
                        self._loaded[name] = _load(name, self._sources[name].folder)
                    except UserError:
                        self._failed.add(name)
                        raise
                    self._failed.discard(name)
        return self._loaded[name]

    @property
    def has_interactive(self) -> bool:
        """True with an interactive network."""
        return self.interactive_folder is not None

    def interactive_model(self) -> Segmenter:
        """The network that answers to what a person points at.

        Raises:
            UserError: There is none, or it cannot be loaded.
        """
        if self.interactive_folder is None:
            raise UserError("There is no network here that answers to what one points at.")
        with self._guide_loading:
            if self._guide_loaded is None:
                self._guide_loaded = _load(self.interactive_folder.name, self.interactive_folder)
        return self._guide_loaded

    def load_in_background(self, name: str) -> threading.Thread:
        """Load a network while the page answers already; what fails is told by `status`."""

        def load() -> None:
            with suppress(UserError):  # `status` tells it
                self.get(name)

        # No daemon: a process that ends meanwhile waits, or the runtime under it would abort.
        thread = threading.Thread(target=load, name=f"load {name}")
        thread.start()
        return thread

    def is_settled(self, name: str) -> bool:
        """Return True for a network that is loaded or has failed."""
        return self.state(name) != "loading"

    def state(self, name: str) -> Literal["ready", "failed", "loading"]:
        """State of a network."""
        if name in self._loaded:
            return "ready"
        return "failed" if name in self._failed else "loading"

    def status(self, name: str) -> str:
        """Line of Markdown on the network that the page runs on."""
        revision = self._sources[name].revision
        origin = "bundled" if revision is None else f"downloaded, revision `{revision[:12]}`"
        state = {
            "ready": "",
            "loading": ", loading…",
            "failed": ": it cannot be loaded, choose another one",
        }[self.state(name)]
        return f"Network **{name}** ({origin}){state}. {self.notice}".strip().replace("….", "…")

    def follow_hub(
        self, repo: str, revision: str | None, retry: float = RETRY_S
    ) -> threading.Thread:
        """Fetch a bundle in the background and make it the default once it is verified.

        Until then, and whatever fails, the bundled networks serve; failures are told in `notice`
        and tried again after `retry` seconds.
        """
        self.notice = f"Fetching {repo} from the Hub…"
        thread = threading.Thread(
            target=self._follow, args=(repo, revision, retry), daemon=True, name="hub"
        )
        thread.start()
        return thread

    def take(self, name: str, source: ModelSource, segmenter: Segmenter) -> None:
        """Serve a network that has arrived, and make it the default."""
        self._loaded[name] = segmenter
        self._loading[name] = threading.Lock()
        self._sources[name] = source
        self.default = name  # by now everything else is there
        self.notice = ""

    def _follow(self, repo: str, revision: str | None, retry: float) -> None:
        from unet.inference.hub import fetch
        from unet.inference.segmenter import Segmenter

        while True:
            try:
                folder, commit = fetch(repo, revision)
                segmenter = Segmenter.load(folder, commit)
                break
            except Exception as error:  # whatever it is, the page goes on and tries again
                self.notice = f"{_for_visitors(error, repo)} The page keeps trying."
                print(f"hub: {error!r}", file=sys.stderr)
                time.sleep(retry)
        self.take(repo, ModelSource(folder, commit), segmenter)


def _load(name: str, folder: Path) -> Segmenter:
    from unet.inference.segmenter import Segmenter

    try:
        return Segmenter.load(folder)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise UserError(CANNOT_LOAD.format(name)) from error


def _for_visitors(error: Exception, repo: str) -> str:
    """Message of an error without the paths of this machine."""
    if isinstance(error, BundleError):
        return f"What {repo} holds on the Hub is not a whole bundle of this project."
    if isinstance(error, UserError):
        return str(error)
    return f"{repo} could not be fetched."
