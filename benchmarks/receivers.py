"""Where deliveries go: nginx where it can be had, else a small receiver of our own, which also tells when requests arrived."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Missing, install, served, throwaway_folder

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }} }}
}}
"""
_OWN = Path(__file__).with_name("receiver.py")


@contextmanager
def fast_receiver() -> Iterator[tuple[str, int]]:
    """The name and the port of a receiver that costs next to nothing per request."""
    try:
        nginx = shutil.which("nginx") or install("nginx", "use the receiver of the benchmarks")
    except Missing:
        with own_receiver() as port:
            yield "own (uvloop, httptools)", port
        return
    with throwaway_folder("graphook-nginx-", None) as folder:
        folder.chmod(0o755)

        def command(port: int) -> list[str]:
            (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
            return [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]

        with served("nginx", folder, None, command, _answers) as port:
            yield "nginx", port


@contextmanager
def own_receiver() -> Iterator[int]:
    """The port of our own receiver. GET of anything answers with the seconds from a payload's `sent` to its first byte here, and forgets them."""
    with (
        throwaway_folder("graphook-receiver-", None) as folder,
        served("the receiver", folder, None, lambda port: [sys.executable, "-P", str(_OWN), str(port)], _answers) as port,
    ):
        yield port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
