"""Put the page on a Hugging Face Space.

One commit with what the page needs and nothing else. `python app.py` is what the Space runs; the
README's front matter is what it reads.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from unet.inference.bundle import KERAS_FILES, list_bundles, verify
from unet.inference.hub import HubError, check_name, refuse_foreign_repo, translate_hub_errors
from unet.inference.onnx_model import GRAPH
from unet.io.examples import COLUMNS, LIST, MASK, listed_examples
from unet.publishing.comparison import FILE as COMPARISON

ROOT = Path(__file__).parents[2]
KINDS = ("static", "gradio", "zerogpu")
"""A page without a server, free for everyone; one with, on CPUs; one with, on ZeroGPU."""
SPACES = "0.51.3"
"""Version of the package that ZeroGPU wants beside Gradio."""
ZERO_GPU = "zero-a10g"
EDITED = ("README.md", "requirements.txt")
STATIC_README = """---
title: Breast ultrasound segmentation
emoji: 🩺
colorFrom: blue
colorTo: gray
sdk: static
app_file: index.html
license: mit
short_description: Outlines lesions in breast ultrasound, in the browser
custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: cross-origin
---

# Breast ultrasound segmentation

The network runs in the browser: no image leaves the device. A research demonstration, not a medical
device. It must not be used for diagnosis, screening or treatment decisions.
"""
OTHERS = (
    "bulk", "cli.py", "cli_options.py", "cluster.py", "data", "evaluation", "experiments",
    "progress.py", "training",
)  # fmt: skip
"""Parts of `unet/` that the page does not import."""
PAGE_SUFFIXES = (".py", ".js", ".css", ".html", ".png", ".csv")


def page_files(root: Path = ROOT) -> dict[str, Path]:
    """Files of the page by their path in the Space."""
    files = [root / name for name in ("app.py", "requirements.txt", "README.md", "LICENSE")]
    for path in sorted((root / "unet").rglob("*")):
        parts = path.relative_to(root / "unet").parts
        if path.suffix not in PAGE_SUFFIXES or parts[0] in OTHERS:
            continue
        if parts[:2] != ("page", "site"):  # the page without a server, and its packages
            files.append(path)
    for bundle in list_bundles(root / "weights"):
        verify(bundle)
        everything = (path for path in sorted(bundle.rglob("*")) if path.is_file())
        files += [path for path in everything if path.name not in KERAS_FILES]
    files += [path for path in [root / "weights" / COMPARISON] if path.exists()]
    files += [root / path for path in _pictures(root / "README.md")]
    return {path.relative_to(root).as_posix(): path for path in files}


def shared_examples(folder: Path, temporary: Path) -> dict[str, Path]:
    """The examples in a folder that others may have, with a list of theirs, by path in the Space.

    Args:
        folder: As `unet.io.examples.read_examples` reads it.
        temporary: Where the list is written.
    """
    path = folder / LIST
    if not path.exists():
        raise HubError(f"{path}: expected a list of examples. Make one: python train.py examples")
    rows = [row for row in listed_examples(folder) if row.get("shared") == "yes"]
    if not rows:
        raise HubError(f"{path}: no example in it may be shared. Leave out --examples.")
    with (temporary / LIST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    files = {f"examples/{LIST}": temporary / LIST}
    for row in rows:
        image = folder / Path(row["file"]).name
        mask = image.with_name(f"{image.stem}{MASK}.png")
        files |= {f"examples/{file.name}": file for file in (image, mask) if file.exists()}
    return files


def check_preload(kind: str, preload: str | None) -> None:
    """Raise HubError where a page without a server is to fetch a network."""
    if kind == "static" and preload is not None:
        raise HubError(
            "a static page carries its networks: leave out --preload, or add --kind gradio"
        )


def deploy(
    repo: str,
    kind: str = "gradio",
    *,
    files: dict[str, Path] | None = None,
    private: bool = False,
    preload: str | None = None,
) -> str:
    """Create the Space if needed and upload the page in one commit; gives its address.

    Args:
        repo: "USER/NAME".
        kind: One of `KINDS`.
        files: What is uploaded, by its path in the Space; `page_files()` if None.
        private: Whether a new Space is private.
        preload: A model repository "USER/NAME" that a Space with a server fetches while it is built
            and the page runs on (its `preload_from_hub` and `UNET_REPO`).

    Raises:
        HubError: The Hub refused or could not be reached, or a static page is to preload something.
        BundleError: A bundle in `weights/` is not whole.
    """
    check_name(repo)
    check_preload(kind, preload)
    content = {
        name: path.read_bytes() if name in EDITED else path
        for name, path in (page_files() if files is None else files).items()
    }
    if kind == "static":
        content["README.md"] = STATIC_README.encode()
    if kind == "zerogpu":
        content["README.md"] = _with_python(content["README.md"])
        content["requirements.txt"] += f"spaces=={SPACES}\n".encode()
    if preload is not None:
        content["README.md"] = with_preload(content["README.md"].decode(), preload).encode()
    api = HfApi()

    def upload() -> str:
        _create(api, repo, kind, private)
        before = api.space_info(repo)
        there = {file.rfilename for file in before.siblings or []}
        refuse_foreign_repo(repo, there, "unet/__init__.py", "site.json")
        gone = sorted(there - set(content) - {".gitattributes"})
        api.create_commit(
            repo,
            [
                *(CommitOperationAdd(name, each) for name, each in content.items()),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message="The page",
            repo_type="space",
            parent_commit=before.sha,
        )
        if preload is not None:
            api.add_space_variable(repo, "UNET_REPO", preload)
        elif kind != "static" and "UNET_REPO" in api.get_space_variables(repo):
            api.delete_space_variable(repo, "UNET_REPO")  # of an earlier deploy with --preload
        return f"{api.endpoint}/spaces/{repo}"

    return translate_hub_errors(repo, upload)


def _with_python(readme: bytes) -> bytes:
    """The README with the Python that ZeroGPU offers in its front matter."""
    return re.sub(
        rb"^python_version: .*$", b'python_version: "3.12.12"', readme, count=1, flags=re.MULTILINE
    )


def with_preload(readme: str, model: str) -> str:
    """The README with `preload_from_hub` for the model's weights in its front matter."""
    line = f"preload_from_hub:\n  - {model} unet.json,{GRAPH}\n"
    head, mark, rest = readme.partition("\n---\n")
    if not mark:
        raise HubError("README.md has no front matter between two lines of '---'. Restore it.")
    return f"{head}\n{line}---\n{rest}"


def _create(api: HfApi, repo: str, kind: str, private: bool) -> None:
    sdk = "static" if kind == "static" else "gradio"
    hardware = {"space_hardware": ZERO_GPU} if kind == "zerogpu" else {}
    try:
        there = hardware and api.repo_exists(repo, repo_type="space")
        api.create_repo(
            repo, repo_type="space", space_sdk=sdk, private=private, exist_ok=True, **hardware
        )
        if there:  # a Space that is there keeps its hardware
            api.request_space_hardware(repo, ZERO_GPU)
    except HfHubHTTPError as error:
        if error.response.status_code != 402:
            raise
        raise HubError(
            "The Hub answers 402: since July 2026 a new account needs PRO for a Gradio Space on "
            "free hardware. What works without: 'train.py deploy --kind static', the page that "
            "needs no server, free for everyone; '--kind zerogpu', of which a personal account may "
            f"have two; a Space that already exists under {repo}; or the page on your own machine "
            "with 'python app.py'."
        ) from None


def _pictures(readme: Path) -> list[str]:
    """Local pictures that the README shows."""
    return [
        path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme.read_text())
        if "://" not in path
    ]  # fmt: skip
