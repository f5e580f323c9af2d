"""nginx in front of several API processes, as an operator has it: what one of them does not take, the next one gets."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.servers import install, served, throwaway_folder

# Requests may be repeated because publishers give each message an idempotency key.
_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 16m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream graphook {{ {members} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://graphook; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_connect_timeout 2s; proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""


@contextmanager
def balanced(urls: Sequence[str], *, may_install: bool) -> Iterator[str]:
    """The URL of nginx before the processes of these. Raises `Missing` where it is not here and must or can not be installed."""
    nginx = shutil.which("nginx") or install("nginx", "do without it", allowed=may_install)
    members = " ".join(f"server {urlsplit(url).netloc} max_fails=0;" for url in urls)
    with throwaway_folder("graphook-balancer-", None) as folder:
        folder.chmod(0o755)

        def command(port: int) -> list[str]:
            (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, members=members))
            return [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]

        with served("nginx", folder, None, command, _answers) as port:
            yield urlsplit(urls[0])._replace(netloc=f"127.0.0.1:{port}").geturl()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
