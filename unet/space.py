"""Put the page on a Hugging Face Space: `python -m unet.space --repo USER/NAME`.

One commit with what the page needs and nothing else. `python app.py` is what the Space runs; the
README's front matter is what it reads.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from unet.bundle import verify
from unet.errors import UserError
from unet.hub import HubError, check_name, explained

ROOT = Path(__file__).parents[1]
TRAINING_ONLY = {
    "ablation.py", "annotations.py", "calibration.py", "checkpoint.py", "cross_validation.py",
    "dataset.py", "diagnosis.py", "evaluation.py", "fast_batchnorm.py", "imagenet.py",
    "losses.py", "metrics.py", "pipeline.py", "plots.py", "readme.py", "recipe.py", "report.py",
    "space.py", "splits.py", "summary.py", "training.py", "workflow.py",
}  # fmt: skip
"""Files of `unet/` that the page does not import."""


def page_files(root: Path = ROOT) -> dict[str, Path]:
    """What the page needs, by its path in the Space."""
    files = [root / name for name in ("app.py", "requirements.txt", "README.md", "LICENSE")]
    for path in sorted((root / "unet").rglob("*")):
        if path.suffix in (".py", ".js", ".css", ".html") and path.name not in TRAINING_ONLY:
            files.append(path)
    for bundle in sorted(path.parent for path in (root / "weights").glob("*/unet.json")):
        verify(bundle)
        files += [path for path in sorted(bundle.rglob("*")) if path.is_file()]
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
    line = f"preload_from_hub:\n  - {model} unet.json,config.json,metadata.json,model.weights.h5\n"
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


def main(argv: list[str] | None = None) -> int:
    """The command line; 0 when done, 1 after a sentence that says what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m unet.space", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--repo", required=True, help="the Space, USER/NAME")
    parser.add_argument("--private", action="store_true", help="make a new Space private")
    parser.add_argument("--preload", metavar="USER/NAME", help="model repository to run on")
    arguments = parser.parse_args(argv)
    try:
        print(deploy(arguments.repo, private=arguments.private, preload=arguments.preload))
    except UserError as error:
        print(f"unet.space: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
