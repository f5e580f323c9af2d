"""The pictures of the built-in templates, which pages of other sites may show."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graphook.package_data import static_folder

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "public, max-age=86400",
}


def logo_routes() -> list[Route]:
    """The routes /templates/….svg. All files are read now."""
    return [_route(path) for path in sorted((static_folder() / "templates").glob("*.svg"))]


def _route(path: Path) -> Route:
    body = path.read_bytes()

    async def serve(_: Request) -> Response:
        return Response(body, media_type="image/svg+xml", headers=HEADERS)

    return Route(f"/templates/{path.name}", serve, methods=["GET"])
