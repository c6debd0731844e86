"""Put the page on a Hugging Face Space.

One commit with what the page needs and nothing else. `python app.py` is what the Space runs; the
README's front matter is what it reads.
"""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from unet.inference.bundle import KERAS_FILES, bundles_in, verify
from unet.inference.graph import GRAPH
from unet.inference.hub import HubError, check_name, check_ours, explained

ROOT = Path(__file__).parents[2]
TRAINING_ROOMS = ("data", "evaluation", "training")
"""Rooms of `unet/` that the page does not enter."""


def page_files(root: Path = ROOT) -> dict[str, Path]:
    """What the page needs, by its path in the Space."""
    files = [root / name for name in ("app.py", "requirements.txt", "README.md", "LICENSE")]
    for path in sorted((root / "unet").rglob("*")):
        room = path.relative_to(root / "unet").parts[0]
        if path.suffix in (".py", ".js", ".css", ".html") and room not in TRAINING_ROOMS:
            files.append(path)
    for bundle in bundles_in(root / "weights"):
        if GRAPH not in verify(bundle).sha256:
            raise HubError(
                f"{bundle} has no {GRAPH}, which the page runs. Make it: python train.py export "
                f"--weights {bundle}"
            )
        everything = (path for path in sorted(bundle.rglob("*")) if path.is_file())
        files += [path for path in everything if path.name not in KERAS_FILES]
    files += [root / path for path in _pictures(root / "README.md")]
    return {path.relative_to(root).as_posix(): path for path in files}


def deploy(repo: str, *, private: bool = False, preload: str | None = None) -> str:
    """Create the Space if needed and upload the page in one commit; gives its address.

    Args:
        repo: "USER/NAME".
        private: Whether a new Space is private.
        preload: A model repository "USER/NAME" that the Space fetches while it is built and the
            page runs on (its `preload_from_hub` and `UNET_REPO`).

    Raises:
        HubError: The Hub refused or could not be reached.
        BundleError: A bundle in `weights/` is not whole.
    """
    check_name(repo)
    files = page_files()
    api = HfApi()

    def upload() -> str:
        _create(api, repo, private)
        before = api.space_info(repo)
        there = {file.rfilename for file in before.siblings or []}
        check_ours(repo, there, "unet/__init__.py")
        gone = sorted(there - set(files) - {".gitattributes"})
        additions = {name: CommitOperationAdd(name, path) for name, path in files.items()}
        if preload is not None:
            readme = with_preload(files["README.md"].read_text(), preload)
            additions["README.md"] = CommitOperationAdd("README.md", readme.encode())
        api.create_commit(
            repo,
            [*additions.values(), *(CommitOperationDelete(name) for name in gone)],
            commit_message="The page",
            repo_type="space",
            parent_commit=before.sha,
        )
        if preload is not None:
            api.add_space_variable(repo, "UNET_REPO", preload)
        return f"{api.endpoint}/spaces/{repo}"

    return explained(repo, upload)


def with_preload(readme: str, model: str) -> str:
    """The README with `preload_from_hub` for the model's weights in its front matter."""
    line = f"preload_from_hub:\n  - {model} unet.json,{GRAPH}\n"
    head, mark, rest = readme.partition("\n---\n")
    if not mark:
        raise HubError("README.md has no front matter between two lines of '---'. Restore it.")
    return f"{head}\n{line}---\n{rest}"


def _create(api: HfApi, repo: str, private: bool) -> None:
    try:
        api.create_repo(repo, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    except HfHubHTTPError as error:
        if error.response.status_code != 402:
            raise
        raise HubError(
            "The Hub answers 402: since July 2026 a new account needs PRO for a Gradio Space on "
            "free hardware. What still works: an account or organisation with a plan, a Space "
            f"that already exists under {repo}, or the page on your own machine with "
            "'python app.py'."
        ) from None


def _pictures(readme: Path) -> list[str]:
    """Local pictures that the README shows."""
    return [
        path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme.read_text())
        if "://" not in path
    ]  # fmt: skip
