"""A small reverse proxy before several page processes: `python -m benchmarks.proxy PORT PAGE …`.

Each new visitor gets the next page, and a cookie by which they stay with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys

import httpx2
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

COOKIE = "replica"
OF_ONE_CONNECTION = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade",
}  # fmt: skip
"""Headers that are not passed on."""


class Proxy:
    """An ASGI application that passes what it is asked on, piece by piece as it comes."""

    def __init__(self, pages: list[str]):
        """Take the addresses of the pages."""
        limits = httpx2.Limits(max_connections=None)
        self._pages = [
            httpx2.AsyncClient(base_url=page, timeout=None, limits=limits) for page in pages
        ]
        self._turn = itertools.cycle(range(len(pages)))

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await self._http(Request(scope, receive), receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for page in self._pages:
            await page.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, request: Request, receive, send) -> None:
        said = request.cookies.get(COOKIE, "")
        known = said.isdecimal() and int(said) < len(self._pages)
        number = int(said) if known else next(self._turn)
        page = self._pages[number]
        try:
            answer = await page.send(_passed_on(page, request), stream=True)
        except ClientDisconnect:
            return
        except httpx2.TransportError as error:
            words = f"replica {number} does not answer: {type(error).__name__}"
            await PlainTextResponse(words, 502)(request.scope, receive, send)
            return
        headers = [pair for pair in answer.headers.raw if pair[0].lower() not in OF_ONE_CONNECTION]
        if not known:
            cookie = f"{COOKIE}={number}; Path=/; HttpOnly; SameSite=Lax"
            headers.append((b"set-cookie", cookie.encode()))
        pieces = asyncio.create_task(_send(answer, headers, send))
        left = asyncio.create_task(_until_left(receive))
        try:
            await asyncio.wait([pieces, left], return_when=asyncio.FIRST_COMPLETED)
        finally:  # a visitor who has left is one for the page, too
            for task in (pieces, left):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, httpx2.TransportError):
                    await task
            await answer.aclose()


def _passed_on(page: httpx2.AsyncClient, request: Request) -> httpx2.Request:
    """The request as a page gets it, with the address that it came from."""
    headers = [pair for pair in request.headers.raw if pair[0] not in OF_ONE_CONNECTION]
    before = request.headers.getlist("x-forwarded-for")
    came_from = ", ".join([*before, request.client.host])
    headers = [pair for pair in headers if pair[0] != b"x-forwarded-for"]
    headers.append((b"x-forwarded-for", came_from.encode()))
    has_body = {"content-length", "transfer-encoding"} & set(request.headers)
    address = httpx2.URL(
        path=request.scope["raw_path"].decode("ascii"), query=request.scope["query_string"]
    )
    content = request.stream() if has_body else None
    return page.build_request(request.method, address, headers=headers, content=content)


async def _send(answer: httpx2.Response, headers: list[tuple[bytes, bytes]], send) -> None:
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _until_left(receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def main(port: str, *pages: str) -> None:
    """Serve at a port of this machine until ended."""
    uvicorn.run(
        Proxy(list(pages)), port=int(port), log_level="warning", proxy_headers=False
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
