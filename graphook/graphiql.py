"""GraphiQL, served from files of our own: the page, what it consists of, and its configuration."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from graphook.package_data import static_folder

ENDPOINT: Final = "/graphql"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OF_PROXIES: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
# The registries of some systems know these as something that a browser with nosniff refuses to run.
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".md": "text/markdown; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Step:
    """A document that the page opens as a tab. The variables are JSON text."""

    title: str
    query: str
    variables: str | None

    @classmethod
    def read(cls, path: Path) -> Step:
        """The step of `<number>-<some-words>.graphql`, with `.variables.json` beside. Raises ValueError if that is not JSON."""
        number, _, words = path.stem.partition("-")
        beside = path.with_suffix(".variables.json")
        variables = beside.read_text("utf-8") if beside.exists() else None
        if variables is not None and not isinstance(json.loads(variables), dict):
            raise ValueError(f"{beside.name} holds no JSON object")
        return cls(f"{number} {words.replace('-', ' ').capitalize()}", path.read_text("utf-8"), variables)


def read_steps(folder: Path) -> list[Step]:
    """The steps of a folder, by the number that their file names begin with. Raises ValueError for a name without one."""
    numbered = []
    for path in folder.glob("*.graphql"):
        number = re.match(r"\d+(?=-)", path.name)
        if number is None:
            raise ValueError(f"{path.name} does not begin with a number and a dash")
        numbered.append((int(number[0]), path))
    return [Step.read(path) for _, path in sorted(numbered)]


def graphiql_routes(*, token: str | None, documents: Path) -> list[Route]:
    """
    The routes /graphiql, /graphiql/config.json and /graphiql/assets/….

    The first steps are in the folder `graphiql` of `documents`. A token is filled in for everybody who opens the page on
    this machine: give one in loopback development only. All files are read now; raises OSError or ValueError for one that
    is missing or malformed.
    """
    static = static_folder() / "graphiql"
    files = [path for path in sorted((static / "assets").iterdir()) if path.is_file()]
    return [
        _file_route("/graphiql", static / "index.html"),
        Route("/graphiql/config.json", _configuration(token, read_steps(documents / "graphiql")), methods=["GET"]),
        *(_file_route(f"/graphiql/assets/{path.name}", path) for path in files),
    ]


def _file_route(url: str, path: Path) -> Route:
    body = path.read_bytes()
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # File names stay the same from version to version, so the browser asks each time, and gets a 304 when nothing changed.
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}

    async def serve(request: Request) -> Response:
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if headers["ETag"] in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    return Route(url, serve, methods=["GET"])


def _configuration(token: str | None, steps: list[Step]) -> Callable[[Request], Awaitable[Response]]:
    tabs = [{"title": step.title, "query": step.query, "variables": step.variables} for step in steps]

    async def serve(request: Request) -> Response:
        shown = token is not None and _is_own_page(request)
        authorization = {"Authorization": f"Bearer {token}"} if shown else None
        body = {"url": ENDPOINT, "headers": authorization, "tabs": tabs}
        return JSONResponse(body, headers={**HEADERS, "Cache-Control": "no-store"})

    return serve


def _is_own_page(request: Request) -> bool:
    """
    Whether our own page asks, on this machine.

    Any page that a developer has open can send requests to this machine: directly, which the browser marks as cross-site, or
    under a name of its own that it makes resolve to 127.0.0.1, which leaves that name in Host. A proxy on this machine may send those of anybody,
    under its name: it says for whom, or speaks HTTP/1.0, as nginx does unless told otherwise and no browser.
    """
    if request.scope["http_version"] == "1.0" or any(name in request.headers for name in _OF_PROXIES):
        return False
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or "origin" in request.headers:
        return False
    host = request.url.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
