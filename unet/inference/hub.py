"""Bundles on the Hugging Face Hub: push one commit, fetch what is verified or nothing."""

from __future__ import annotations

import errno
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from unet.errors import UserError
from unet.inference.bundle import SERVED_FILES, WEIGHTS, BundleError, bundle_name, read_info, verify
from unet.inference.onnx_model import GRAPH

T = TypeVar("T")

FETCH_TIMEOUT_S = 300.0
"""Seconds a fetch may take in all."""
ANSWER_TIMEOUT_S = 10.0
"""Seconds the Hub may take for one answer before a file is read."""
MAX_BYTES = {WEIGHTS: 500_000_000, GRAPH: 500_000_000}
"""Largest size of each file that is read; others may have `MAX_OTHER_BYTES`."""
MAX_OTHER_BYTES = 20_000_000
OPTIONAL_FILES = (
    "metrics.json", "cases.csv", "history.csv", "cross_validation.json", "leave_out.json",
    "ablation.json", "clicks.json",
)  # fmt: skip
"""Files the page shows where they are there."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubError(UserError):
    """A Hub operation that failed; the message says what to do about it."""


def push(bundle: Path, repo: str, *, private: bool = False, tag: str | None = None) -> str:
    """Upload a bundle in one commit, creating the repository if needed.

    Nothing is committed when the repository holds the same files already. A push that another one
    overtakes is refused, so the repository always holds one bundle whole.

    Args:
        bundle: The bundle's folder; checked before anything is sent.
        repo: "USER/NAME".
        private: Whether a new repository is private.
        tag: A git tag for the commit, such as "v1".

    Returns:
        The commit's address.

    Raises:
        BundleError: The folder is not a whole bundle.
        HubError: The Hub refused or could not be reached.
    """
    if (without := verify(bundle).training["split_name"]) != "holdout":
        raise HubError(
            f"{bundle} was trained to be scored ({without}). Push what fit makes without --folds "
            "and --leave-out-domain."
        )
    missing = [name for name in ("README.md", "metrics.json") if not (bundle / name).is_file()]
    if missing:
        raise HubError(f"{bundle} lacks {', '.join(missing)}. Run train.py evaluate --split all.")
    check_name(repo)
    files = {path.relative_to(bundle).as_posix(): path for path in sorted(bundle.rglob("*"))
             if path.is_file() and not _is_hidden(path.relative_to(bundle))}  # fmt: skip
    api = HfApi()

    def upload() -> str:
        api.create_repo(repo, private=private, exist_ok=True)
        before = api.model_info(repo)
        there = {file.rfilename for file in before.siblings or []}
        refuse_foreign_repo(repo, there, "unet.json")
        gone = sorted(name for name in there - set(files) if name != ".gitattributes")
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(name, path) for name, path in files.items()]
            + [CommitOperationDelete(name) for name in gone],
            commit_message=f"Network {bundle_name(bundle)}",
            parent_commit=before.sha,
        )
        if tag is not None:
            _tag(api, repo, tag, commit.oid)
        return commit.commit_url

    return translate_hub_errors(repo, upload)


def _is_hidden(path: Path) -> bool:
    """Return True for a hidden file, or one in a hidden folder, such as a download's."""
    return any(part.startswith(".") for part in path.parts)


def fetch(
    repo: str, revision: str | None = None, *, deadline: float = FETCH_TIMEOUT_S
) -> tuple[Path, str]:
    """Download a bundle and verify it.

    A full commit hash that is in the cache already needs no network. Sizes are checked before a
    file is read, hashes after. What is damaged in the cache is downloaded once more.

    Args:
        repo: "USER/NAME".
        revision: Branch, tag or commit; the main branch if None.
        deadline: Seconds after which it is given up.

    Returns:
        The bundle's folder in the cache, and its commit.

    Raises:
        HubError: Not there, not reached in time, too large.
        BundleError: What came is not a whole bundle.
    """
    check_name(repo)
    ends = time.monotonic() + deadline

    def download(force: bool) -> tuple[Path, str]:
        commit = HfApi().model_info(repo, revision=revision, timeout=ANSWER_TIMEOUT_S).sha
        folder = Path(_needed(repo, "unet.json", commit, force)).parent
        read_info(folder)  # a bundle of this version, before the rest is fetched
        for name in SERVED_FILES:
            _needed(repo, name, commit, force)
        for name in OPTIONAL_FILES:
            with suppress(RemoteEntryNotFoundError):
                _download(repo, name, commit, force)
        return folder, commit

    def attempt(force: bool) -> tuple[Path, str]:
        if not force and revision is not None and _COMMIT.fullmatch(revision):
            cached = _cached(repo, revision)
            if cached is not None:
                return _verified(cached), revision
        left = max(0.0, ends - time.monotonic())
        folder, commit = translate_hub_errors(repo, lambda: _within(left, lambda: download(force)))
        return _verified(folder), commit

    try:
        return attempt(force=False)
    except BundleError as damaged:  # in the cache: it must not be taken from there again
        try:
            return attempt(force=True)
        except HubError:
            raise damaged from None


def _cached(repo: str, commit: str) -> Path | None:
    """The bundle's folder in the cache if all that the network is run from is there."""

    def path_of(name: str) -> Path | None:
        path = try_to_load_from_cache(repo, name, revision=commit)
        return Path(path) if isinstance(path, str) else None

    info = path_of("unet.json")
    if info is None or None in map(path_of, SERVED_FILES):
        return None
    return info.parent


def _verified(folder: Path) -> Path:
    verify(folder, SERVED_FILES)
    return folder


def _download(repo: str, name: str, commit: str, force: bool) -> str:
    """The path of one file in the cache, its size checked before it is read."""
    size = get_hf_file_metadata(
        hf_hub_url(repo, name, revision=commit), timeout=ANSWER_TIMEOUT_S
    ).size
    most = MAX_BYTES.get(name, MAX_OTHER_BYTES)
    if size is None or size > most:
        raise HubError(
            f"{repo}: {name} is said to have {size} bytes; at most {most} are read. "
            "Check the repository's name."
        )
    return hf_hub_download(
        repo, name, revision=commit, etag_timeout=ANSWER_TIMEOUT_S, force_download=force
    )


def _needed(repo: str, name: str, commit: str, force: bool) -> str:
    try:
        return _download(repo, name, commit, force)
    except RemoteEntryNotFoundError:
        raise HubError(
            f"{repo} is not a bundle of this project: a file is missing ({name})."
        ) from None


def refuse_foreign_repo(repo: str, there: set[str], *marks: str) -> None:
    """Raise HubError where a repository holds files, yet none of `marks`, which ours have.

    What is pushed replaces everything: another's work is not deleted by a slip in a name.
    """
    foreign = sorted(there - {".gitattributes", "README.md"})
    if foreign and not there & set(marks):
        raise HubError(
            f"{repo} holds something else ({', '.join(foreign[:3])}…), which would be deleted. "
            "Choose a new name, or empty that repository first."
        )


def check_name(repo: str) -> None:
    """Raise HubError for what is not USER/NAME."""
    try:
        validate_repo_id(repo)
    except HFValidationError:
        repo_is_full = False
    else:
        repo_is_full = repo.count("/") == 1
    if not repo_is_full:
        raise HubError(
            f"{repo!r} is not a repository's name. Expected USER/NAME with letters, digits, "
            "'-', '_' and '.'."
        )


def _tag(api: HfApi, repo: str, tag: str, commit: str) -> None:
    try:
        api.create_tag(repo, tag=tag, revision=commit)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        if api.model_info(repo, revision=tag).sha != commit:
            raise HubError(
                f"The commit is made, but {repo} has another one tagged {tag}. Choose a new tag."
            ) from None


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Run `work`, or raise TimeoutError after so many seconds; a stuck one is left behind."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # handed to the caller
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no whole answer within {seconds:.0f} s")
    return done[0]


def translate_hub_errors(repo: str, work: Callable[[], T]) -> T:
    """Run `work` and turn the Hub's errors into sentences that say what to do."""
    try:
        return work()
    except UserError:
        raise
    except LocalTokenNotFoundError:
        message = "You are not logged in. Run 'hf auth login' or set HF_TOKEN, then try again."
    except OfflineModeIsEnabled:
        message = f"HF_HUB_OFFLINE is set, so {repo} cannot be reached. Unset it and try again."
    except RevisionNotFoundError:
        message = f"{repo} has no such revision. Check its branches and tags."
    except GatedRepoError:
        message = (
            f"{repo} is open to those alone whom its owner lets in. Ask at https://huggingface.co/"
            f"{repo}, log in with 'hf auth login', then try again."
        )
    except RepositoryNotFoundError as error:
        message = _refused(repo, error.response.status_code)
    except LocalEntryNotFoundError:
        message = f"{repo} could not be reached. Check the network and try again."
    except HfHubHTTPError as error:
        message = _refused(repo, error.response.status_code)
    except (TimeoutError, httpx2.TimeoutException):
        message = f"{repo} did not answer in time. Try again later."
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            where = "is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "is read-only"
            message = f"The disk that holds the Hub's cache {where}. Mend it, or set HF_HOME."
        else:
            message = f"{repo} could not be reached ({type(error).__name__}). Check the network."
    except httpx2.HTTPError as error:
        message = f"{repo} could not be reached ({type(error).__name__}). Check the network."
    raise HubError(message)


def _refused(repo: str, status: int) -> str:
    """A sentence for a status the Hub answered with."""
    owner = repo.split("/")[0]
    sentences = {
        401: f"The Hub does not know your token, or {repo} does not exist. "
        "Run 'hf auth login' and check the name.",
        403: f"Your token may not write to {owner}. Make one with write access at "
        "https://huggingface.co/settings/tokens and run 'hf auth login'.",
        402: "The Hub asks for a paid plan for this. Use a plan that allows it, or another owner.",
        404: f"{repo} does not exist, or your token may not see it. Check the name.",
        409: f"{repo} is taken by something else. Choose another name.",
        412: f"Somebody else pushed to {repo} at the same time; theirs was kept. "
        "Look at it and push again.",
        429: "The Hub asks for a pause. Try again in some minutes.",
    }
    return sentences.get(status, f"The Hub answered {status} for {repo}. Try again later.")
