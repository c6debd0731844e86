"""The page's endpoint `/segment` over real HTTP, asked in ways that cannot be meant."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx2

from tests.fuzz import seeds
from unet.errors import UserError

ANSWER_TIMEOUT_S = 25


class Page:
    """A page of one network, on a port that is free.

    Attributes:
        bodies: Requests that are answered well.
    """

    def __init__(self, bundle: Path, folder: Path):
        import app
        from unet.page.model_registry import ModelRegistry

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._page = app.build_page(ModelRegistry([bundle]))
        options = app.LAUNCH | {"server_port": port, "server_name": "127.0.0.1"}
        _, address, _ = self._page.launch(prevent_thread_lock=True, quiet=True, **options)
        self._client = httpx2.Client(base_url=f"{address}gradio_api/", timeout=ANSWER_TIMEOUT_S)
        scan = seeds.saved(seeds.grey(), "PNG")
        uploaded = self._client.post("upload", files={"files": ("scan.png", scan)}).json()[0]
        self._sent = str(Path(uploaded).parents[1])
        file = {"path": uploaded, "orig_name": "scan.png", "meta": {"_type": "gradio.FileData"}}
        self.bodies = [
            json.dumps({"data": data}).encode()
            for data in ([file, 0.5], [file, None], [file, None, {}])
        ]
        for body in self.bodies:
            self.ask(body)

    def ask(self, body: bytes) -> None:
        """Ask, and take what comes.

        Raises:
            UserError: It is refused, in words.
        """
        # Each by a connection of its own: the server closes one after an error of its own.
        kinds = {"Content-Type": "application/json", "Connection": "close"}
        asked = self._client.post("call/segment", content=body, headers=kinds)
        if asked.status_code != 200:
            # FastAPI fails so on a body that is NaN alone, before Gradio or the project see it.
            assert asked.status_code < 500 or asked.text == "Internal Server Error", asked.text
            raise UserError(self._without_sent(asked.text)[:500])
        event = asked.json()["event_id"]
        answer = self._client.get(f"call/segment/{event}", headers={"Connection": "close"})
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:300]}"
        if "event: error" in answer.text:
            words = answer.text.split("data: ", 1)[1].strip()
            assert words != "null", "an error without words"
            raise UserError(self._without_sent(words))
        mask, findings = json.loads(answer.text.split("data: ")[-1])
        assert mask["path"]
        assert findings["network"]["name"] == "tiny"

    def _without_sent(self, words: str) -> str:
        """Words without the upload's folder, which who asks has sent himself."""
        return words.replace(self._sent, "SENT")
