"""A stand-in for the Hugging Face Hub, honest about its HTTP protocol, with faults on request.

Repositories, commits, tags and large files are kept in memory. Protocol as the client of
huggingface_hub 2.4 speaks it with HF_HUB_DISABLE_XET=1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writer", "hf_reader"
CREATE = "/api/repos/create"


@dataclass(frozen=True)
class Blob:
    """A file's content, and whether it is kept as a large file."""

    content: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """The id git has for a regular file."""
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        """The id a large file has."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        """What `resolve` answers."""
        return self.sha256 if self.lfs else self.oid


@dataclass
class Repository:
    """Commits, newest last, each with its whole tree."""

    private: bool = False
    sdk: str | None = None
    commits: list[tuple[str, dict[str, Blob]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    hardware: str | None = None

    def tree(self, revision: str) -> tuple[str, dict[str, Blob]] | None:
        """A commit and its files by branch, tag or hash."""
        wanted = self.commits[-1][0] if revision == "main" else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == wanted), None)


@dataclass
class Hub:
    """What the server holds and how it fails.

    Attributes:
        fault: "" or one of "500", "hang", "half", "other", "huge", "trickle": what happens to
            downloads of weights ("500" and "hang" to everything).
        needs_plan: Whether creating a Gradio Space is answered 402.
        requests: Method and path of every request.
        before_commit: Called once while a commit is on its way, to push another one first.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    needs_plan: bool = False
    requests: list[str] = field(default_factory=list)
    before_commit: object = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def running() -> Iterator[tuple[str, Hub]]:
    """Serve on a free port of this machine; gives the address and the hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", hub
    finally:
        server.shutdown()
        server.server_close()


class _Refusal(Exception):  # noqa: N818
    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{method} {path}")
        body = self._body()
        try:
            if self.hub.fault == "500":
                raise _Refusal(500, "Internal Error")
            if self.hub.fault == "hang":
                time.sleep(120)
            for verb, pattern, action in _ROUTES:
                found = re.fullmatch(pattern, path)
                if found and (verb == method or (verb == "GET" and method == "HEAD")):
                    return action(self, body, *found.groups())
            raise _Refusal(404, "Not Found")
        except _Refusal as refusal:
            headers = {"X-Error-Message": str(refusal)}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            answer = {"error": str(refusal), "url": self._url(body) if path == CREATE else None}
            self._send(json.dumps(answer).encode(), refusal.status, headers)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, content: bytes, status: int = 200, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status)

    def _must_write(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in (WRITER, READER):
            raise _Refusal(401, "Invalid username or password.")
        if token == READER:
            raise _Refusal(403, "You don't have the rights to create or change this repository")

    def _repository(self, kind: str, name: str) -> Repository:
        repository = self.hub.repositories.get(f"{kind}/{name}")
        if repository is None:
            raise _Refusal(404, "Repository not found", "RepoNotFound")
        return repository

    def _tree(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, Blob]]:
        tree = self._repository(kind, name).tree(revision)
        if tree is None:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return tree

    def create(self, body: bytes) -> None:
        self._must_write()
        wanted = json.loads(body)
        kind = wanted.get("type") or "model"
        owner = wanted.get("organization") or "user"
        key = f"{kind}s/{owner}/{wanted['name']}"
        if kind == "space" and wanted.get("sdk") == "gradio" and self.hub.needs_plan:
            raise _Refusal(402, "A PRO subscription is required to host a Gradio Space")
        if key in self.hub.repositories:
            raise _Refusal(409, "You already created this repo")
        first = (hashlib.sha1(key.encode()).hexdigest(), {".gitattributes": Blob(b"", lfs=False)})
        self.hub.repositories[key] = Repository(
            bool(wanted.get("private")), wanted.get("sdk"), [first], hardware=wanted.get("hardware")
        )
        self._json({"url": self._url(body)})

    def _url(self, body: bytes) -> str:
        wanted = json.loads(body)
        place = "spaces/" if wanted.get("type") == "space" else ""
        owner = wanted.get("organization") or "user"
        return f"http://{self.headers['Host']}/{place}{owner}/{wanted['name']}"

    def validate(self, body: bytes) -> None:
        assert json.loads(body)["content"].startswith("---\n")
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, kind: str, name: str, revision: str) -> None:
        self._must_write()
        _, files = self._tree(kind, name, revision)
        answers = []
        for wanted in json.loads(body)["files"]:
            path = wanted["path"]
            large = path.endswith((".h5", ".onnx", ".png"))
            answers.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": files[path].etag if path in files else None,
                }
            )
        self._json({"files": answers})

    def batch(self, body: bytes, _name: str) -> None:
        self._must_write()
        here = f"http://{self.headers['Host']}"
        objects = []
        for wanted in json.loads(body)["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large:
                answer["actions"] = {
                    "upload": {"href": f"{here}/large/{wanted['oid']}", "header": {}},
                    "verify": {"href": f"{here}/verify", "header": {}},
                }
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def put_large(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Refusal(400, "sha256 differs")
        self.hub.large[oid] = body
        self._send(b"")

    def verify(self, body: bytes) -> None:
        wanted = json.loads(body)
        if len(self.hub.large.get(wanted["oid"], b"")) != wanted["size"]:
            raise _Refusal(404, "Object does not exist")
        self._json({})

    def commit(self, body: bytes, kind: str, name: str, _branch: str) -> None:
        self._must_write()
        repository = self._repository(kind, name)
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        hook, self.hub.before_commit = self.hub.before_commit, None
        if hook:
            hook(repository)
        with self.hub.lock:
            head, files = repository.commits[-1]
            files = dict(files)
            for line in lines:
                key, value = line["key"], line["value"]
                if key == "header" and value.get("parentCommit", head) != head:
                    raise _Refusal(
                        412, "A commit has happened since. Please refresh and try again."
                    )
                if key == "file":
                    files[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
                elif key == "lfsFile":
                    files[value["path"]] = Blob(self.hub.large[value["oid"]], lfs=True)
                elif key == "deletedFile":
                    del files[value["path"]]
            oid = hashlib.sha1(body + head.encode()).hexdigest()
            repository.commits.append((oid, files))
        url = f"http://{self.headers['Host']}/{name}/commit/{oid}"
        self._json({"success": True, "commitOid": oid, "commitUrl": url})

    def tag(self, body: bytes, kind: str, name: str, revision: str) -> None:
        self._must_write()
        repository = self._repository(kind, name)
        wanted = json.loads(body)["tag"]
        if wanted in repository.tags:
            raise _Refusal(409, "Tag reference exists already")
        repository.tags[wanted] = self._tree(kind, name, revision)[0]
        self._json({})

    def info(self, _body: bytes, kind: str, name: str, revision: str = "main") -> None:
        commit, files = self._tree(kind, name, revision)
        siblings = [{"rfilename": path} for path in files]
        self._json({"id": name, "modelId": name, "sha": commit, "siblings": siblings,
                    "private": False, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def variables(self, body: bytes, name: str) -> None:
        self._must_write()
        there = self._repository("spaces", name).variables
        wanted = json.loads(body) if body else {}
        if self.command == "POST":
            there[wanted["key"]] = wanted["value"]
        elif self.command == "DELETE":
            del there[wanted["key"]]
        self._json({key: {"key": key, "value": value} for key, value in there.items()})

    def hardware(self, body: bytes, name: str) -> None:
        self._must_write()
        space = self._repository("spaces", name)
        space.hardware = json.loads(body)["flavor"]
        wanted = {"current": None, "requested": space.hardware}
        self._json({"stage": "BUILDING", "hardware": wanted})

    def tree(self, _body: bytes, kind: str, name: str, revision: str) -> None:
        _, files = self._tree(kind, name, revision)
        entries = []
        for path, blob in files.items():
            entry = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.oid}
            if blob.lfs:
                size = len(blob.content)
                entry["lfs"] = {"oid": blob.sha256, "size": size, "pointerSize": 130}
            entries.append(entry)
        self._json(entries)

    def resolve(self, _body: bytes, name: str, revision: str, path: str) -> None:
        commit, files = self._tree("models", name, revision)
        if path not in files:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        blob = files[path]
        content, size = blob.content, len(blob.content)
        if path.endswith(".onnx"):
            if self.hub.fault == "other":
                content = bytes(255 - byte for byte in content)
            elif self.hub.fault == "huge":
                size = 10_000_000_000
        headers = {
            "ETag": f'"{blob.etag}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
        }
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(size)}
        start, end, status = 0, size, 200
        if self.headers.get("Range"):
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"]).groups()
            start, end, status = int(first), int(last or size - 1) + 1, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            headers["Content-Length"] = str(end - start)
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        content = content[start:end]
        if path.endswith(".onnx") and self.hub.fault == "half":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            self.connection.close()
        elif path.endswith(".onnx") and self.hub.fault == "trickle":
            for position in range(0, len(content), 64):
                self.wfile.write(content[position : position + 64])
                time.sleep(0.5)
        else:
            self.wfile.write(content)


_NAME = r"([^/]+/[^/]+)"
VERBS = ("GET", "POST", "DELETE")
_ROUTES = (
    ("POST", CREATE, _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate),
    ("POST", rf"/api/(models|spaces)/{_NAME}/preupload/(.+)", _Handler.preupload),
    ("POST", r"/((?:spaces/)?[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/large/([0-9a-f]{64})", _Handler.put_large),
    ("POST", r"/verify", _Handler.verify),
    ("POST", rf"/api/(models|spaces)/{_NAME}/commit/(.+)", _Handler.commit),
    ("POST", rf"/api/(models|spaces)/{_NAME}/tag/(.+)", _Handler.tag),
    ("GET", rf"/api/(models|spaces)/{_NAME}/revision/(.+)", _Handler.info),
    ("GET", rf"/api/(models|spaces)/{_NAME}/tree/([^/]+)", _Handler.tree),
    ("GET", rf"/api/(models|spaces)/{_NAME}", _Handler.info),
    *((verb, rf"/api/spaces/{_NAME}/variables", _Handler.variables) for verb in VERBS),
    ("POST", rf"/api/spaces/{_NAME}/hardware", _Handler.hardware),
    ("GET", rf"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
)
