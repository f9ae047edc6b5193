"""The server of the page: which requests it answers, and its own addresses for posters.

Gradio draws the page, and nothing else: its uploads, its API and its files are closed.
"""

import asyncio
import errno
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from postergenres.app.answers import Answers
from postergenres.app.page import mount_page
from postergenres.report.named_posters import LIMITS

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"  # other machines cannot open the page
NAMES = (HOST, "localhost")  # in the address of the page, or it is not answered
AT_ONCE = 3  # posters in memory, of at most 20 MB each
BODY_SECONDS = 60  # in which a poster must arrive
GRADIO_PATHS = ("/", "/favicon.ico", "/manifest.json", "/theme.css")  # that the page loads
GRADIO_FOLDERS = ("/assets/", "/static/")


# --- posters --------------------------------------------------------------------------------------


async def answer_poster(request: Request) -> Response:
    """Predict the poster that is the body, by the model and under the name that the query has."""
    answers: Answers = request.app.state.answers
    model, name = request.query_params.get("model"), request.query_params.get("name")
    if model not in answers.folders or name is None:
        raise HTTPException(400, "the query must have a model of the page, and a name")
    async with request.app.state.room:
        body = await read_body(request)
        try:
            answer = await run_in_threadpool(answers.answer, name, body, model)
        except OSError as error:
            raise HTTPException(503, str(error)) from None
    return JSONResponse(answer)


async def read_body(request: Request) -> bytes:
    """Return the body of a request; stop if it is too large, too slow or cut short."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LIMITS.max_bytes:
                    raise HTTPException(413, f"too large: over {LIMITS.max_bytes:,} bytes")
    except TimeoutError:
        raise HTTPException(408, "too slow") from None
    except ClientDisconnect:
        raise HTTPException(400, "cut short") from None
    return bytes(body)


# --- the door -------------------------------------------------------------------------------------


class Door:
    """Refuse what is not needed for the page, and what other websites ask for."""

    def __init__(self, app: ASGIApp, paths: Sequence[str]) -> None:
        self.app, self.paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = self.refuse(Request(scope)) if scope["type"] == "http" else 0
        app = PlainTextResponse("refused", status) if status else self.app
        await app(scope, receive, send)

    def refuse(self, request: Request) -> int:
        """Return the status with which a request is refused, or 0."""
        origin = request.headers.get("origin")  # browsers send it with every POST
        if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
            return 403
        path = request.url.path
        if path in self.paths:
            return 0
        if path not in GRADIO_PATHS and not path.startswith(GRADIO_FOLDERS):
            return 404
        return 0 if request.method in ("GET", "HEAD") else 405


def build_app(answers: Answers, names: Sequence[str] = ()) -> Starlette:
    """Return the application; it is answered under `names` and those of this machine."""
    routes = [Route("/answer", answer_poster, methods=["POST"])]
    allowed = [*NAMES, *names]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False),
        Middleware(Door, paths=[route.path for route in routes]),
    ]
    app = Starlette(routes=routes, middleware=middleware)
    app.state.answers, app.state.room = answers, asyncio.Semaphore(AT_ONCE)
    mount_page(app, answers)
    return app


@contextmanager
def serving(
    answers: Answers, port: int, host: str = HOST, names: Sequence[str] = ()
) -> Iterator[str]:
    """Serve the page during the block, and yield its address on this machine.

    Args:
        answers: what predicts the posters.
        port: 0 for any that is free.
        host: the address of this machine under which others reach it; `HOST` for none.
        names: more names under which the page is answered.

    Raises:
        SystemExit: the port is in use, or the host is no address of this machine.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"Port {port} is in use. Name another: python -m postergenres.app --port 7861")
        sys.exit(f"The page cannot be served at {host}, port {port}: {error.strerror}")
    app = build_app(answers, names)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
