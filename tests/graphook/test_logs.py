"""Log lines: what machines read, and that no secret is in them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphook.access import current_request_id
from graphook.logs import HIDDEN, configure_logging, redact

MARK = "S3CR3Txyz"
SECRET_TEXT = st.text("abcXYZ019+/_.~-", min_size=1, max_size=40).map(lambda text: MARK + text)
SURROUNDINGS = [
    "orgsk_{}",
    "token appsk_{} is refused",
    "POST /inbound/app_1/inboundsk_{} 500",
    "whsec_{}",
    "key=whsk_{}, next",
    "Bearer {}",
    "bearer  {}",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "AUTHORIZATION: Custom one {} three",
    "Proxy-Authorization: Digest username=x, response={}",
    "{{'authorization': 'Basic {}'}}",
    "[('Authorization', 'Basic {}'), ('Accept', '*/*')]",
    "[(b'authorization', b'Basic {}')]",
    '{{"x-api-key": "{}", "accept": "*/*"}}',
    '{{\\"Authorization\\": \\"Digest {}\\"}}',
    "Cookie: session={}; other=1",
    "postgresql://graphook:{}@db:5432/graphook",
    "redis://:{}@cache/0 refused",
    "https://user:{}@example.com/hook",
    "postgresql://user:a@{}@db/x",
    "GET https://example.com/hook?token={}&x=1",
    "https://example.com/hook?x=1&api_key={}",
    "https://example.com/hook?X-Amz-Signature={}#top",
    "https://example.com/?client_secret={}",
    "https://example.com/cb?code={}",
    "GRAPHOOK_SECRET_KEY={}",
    "password = {}",
    'password: "{}"',
]


@given(st.sampled_from(SURROUNDINGS), SECRET_TEXT, st.text(max_size=20).map(lambda text: text.replace(MARK, "")))
def test_no_secret_is_left_wherever_it_stands(surrounding: str, secret: str, around: str) -> None:
    shown = redact(f"{around} {surrounding.format(secret)}")
    assert MARK not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "GraphQL is at http://127.0.0.1:8000/graphql?x=1",
        "endpoint ep_2a is disabled: it answered 410 Gone",
        "a token could not be looked up",
        "no key 'ab12' is in GRAPHOOK_SECRET_KEY; add the key that sealed it",
        "https://example.com:8443/path@2",
        "http://127.0.0.1:8000/users?mail=a@b",
        "the author, it seems, is unknown",
        "2 secret keys",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["?", "a-", "://a:", "token", '"token"', "bearer ", "&token=", "password:", "secret_key" * 5])
def test_a_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    began = time.process_time()
    redact(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 5


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_its_parts_and_no_secret_in_any(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    token = current_request_id.set("request-1")
    try:
        raise ValueError(f"Bearer {MARK}")
    except ValueError:
        extra = {
            "endpoint_id": "ep_1",
            "tries": 3,
            "headers": {"Authorization": MARK, "Accept": "*/*"},
            "pairs": [("x", f"whsec_{MARK}")],
            "password": f'quoted " {MARK}',
        }
        logging.getLogger("graphook.test").warning("url %s", f"redis://:{MARK}@h/0", extra=extra, exc_info=True)
    finally:
        current_request_id.reset(token)

    text = capsys.readouterr().err
    assert MARK not in text
    (line,) = [json.loads(each) for each in text.splitlines()]
    assert line.pop("time").endswith("+00:00")
    assert "Bearer [redacted]" in line.pop("exception")
    assert line == {
        "level": "warning",
        "logger": "graphook.test",
        "message": "url redis://:[redacted]@h/0",
        "request_id": "request-1",
        "endpoint_id": "ep_1",
        "tries": 3,
        "headers": {"Authorization": HIDDEN, "Accept": "*/*"},
        "pairs": [["x", "whsec_[redacted]"]],
        "password": HIDDEN,
    }


def test_a_text_line_has_no_secret_in_its_traceback(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    try:
        raise ValueError(f"orgsk_{MARK}")
    except ValueError:
        logging.getLogger("graphook.test").exception("it broke")

    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "orgsk_[redacted]" in text
    assert MARK not in text


def test_lines_below_the_level_are_not_written(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", "json")
    logging.getLogger("graphook.test").info("not this")
    logging.getLogger("graphook.test").warning("this")
    assert [line["message"] for line in lines(capsys)] == ["this"]
