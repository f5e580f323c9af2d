"""A provider of incoming webhooks: speaks Slack's `oauth.v2.access` and Discord's `oauth2/token`, and goes wrong in the way that a code names."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

CLIENT_ID, CLIENT_SECRET = "4724469134.4644010092847", "the-secret-of-the-client-1f3a"
# What comes with the webhook and must go no further.
ACCESS_TOKEN = "xoxb-17653672481-19874698323"
CHANNEL = {"slack": "#billing", "discord": "199737254929760256"}


@dataclass
class Provider:
    """Where it listens, what was asked, and the codes that are used up."""

    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)
    webhook: str = "https://hooks.example.com/services/T0/B0/XXXX"
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str) -> str:
        """Where that provider exchanges codes."""
        return f"http://127.0.0.1:{self.port}/{name}"


def answer_of(provider: Provider, name: str, form: dict[str, str], authorization: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for a request of that form."""
    code = form.get("code", "")
    what, _, number = code.partition("-")
    json_type = {"Content-Type": "application/json; charset=utf-8"}
    if authorization != "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode():
        return _refusal(name, "invalid_client_id" if name == "slack" else "invalid_client")
    if form.get("grant_type") != "authorization_code" or (name, code) in provider.used:
        return _refusal(name, "invalid_code" if name == "slack" else "invalid_grant")
    provider.used.add((name, code))
    webhook: dict[str, Any] = {"url": provider.webhook, "channel": CHANNEL["slack"], "channel_id": CHANNEL["discord"], "name": "graphook"}
    good: dict[str, Any] = {"access_token": ACCESS_TOKEN, "token_type": "bot", "scope": "incoming-webhook"}
    good |= {"ok": True, "incoming_webhook": webhook} if name == "slack" else {"expires_in": 604_800, "webhook": webhook}
    match what:
        case "good":
            return 200, json_type, json.dumps(good).encode()
        case "denied":
            return _refusal(name, "access_denied")
        case "markup":
            body = {"ok": False, "error": "<script>alert(1)</script>", "error_description": "<script>alert(1)</script>"}
            return (200 if name == "slack" else 400), json_type, json.dumps(body).encode()
        case "expiry":
            return 200, json_type, json.dumps(good | {"expires_in": "abc"}).encode()
        case "nohook":
            return 200, json_type, json.dumps({"ok": True, "access_token": ACCESS_TOKEN}).encode()
        case "textual":
            return 200, json_type, json.dumps({"ok": True, "webhook": "x", "incoming_webhook": "x"}).encode()
        case "inside":
            webhook["url"] = {"1": "http://169.254.169.254/latest/", "2": "file:///etc/passwd", "3": "https://u:p@example.com/"}[number]
            return 200, json_type, json.dumps(good).encode()
        case "unwell":
            return 500, {"Content-Type": "text/html"}, b"<h1>Internal Server Error</h1>"
        case "unwell_json":
            return 503, json_type, b'{"message": "over capacity", "code": 0}'
        case "moved":
            return 302, {"Location": f"http://127.0.0.1:{provider.port}/{name}"}, b""
        case "html":
            return 200, {"Content-Type": "text/html"}, json.dumps(good).encode()
        case "list":
            return 200, json_type, b"[1]"
        case "broken":
            return 200, json_type, b'{"ok": tr'
        case "deep":
            return 200, json_type, b"[" * 60_000
        case "huge":
            return 200, json_type, b'{"ok": true, "pad": "' + b"x" * 1_000_000 + b'"}'
        case "zipped":
            return 200, {**json_type, "Content-Encoding": "gzip"}, b"\x1f\x8b" + b"\0" * 100
    return _refusal(name, "invalid_code" if name == "slack" else "invalid_grant")


def _refusal(name: str, word: str) -> tuple[int, dict[str, str], bytes]:
    body = {"ok": False, "error": word} if name == "slack" else {"error": word, "error_description": 'Invalid "code" in request.'}
    return (200 if name == "slack" else 400), {"Content-Type": "application/json"}, json.dumps(body).encode()


@contextmanager
def providing() -> Iterator[Provider]:
    """The provider in a thread of its own, on a free port of this machine."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            name = self.path.strip("/")
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            form = {key: values[0] for key, values in parse_qs(body, strict_parsing=True).items()}
            provider.asked.append(form)
            if form["code"].startswith("slow"):
                provider.released.wait(30)
            if form["code"].startswith(("slow", "gone")):
                self.close_connection = True
                return
            status, headers, answer = answer_of(provider, name, form, unquote(self.headers.get("Authorization", "")))
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # who was sent too much has hung up

    server = Server(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
