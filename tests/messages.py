"""What Slack, Discord and Microsoft Teams document of the messages that their webhooks take, as JSON Schemas and sums."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from jsonschema import Draft202012Validator


def _text(kind: str, longest: int, **more: Any) -> dict[str, Any]:
    properties = {"type": {"const": kind}, "text": {"type": "string", "minLength": 1, "maxLength": longest}, **more}
    return {"type": "object", "required": ["type", "text"], "additionalProperties": False, "properties": properties}


def _plain(longest: int) -> dict[str, Any]:
    return _text("plain_text", longest, emoji={"const": False})


def _markdown(longest: int) -> dict[str, Any]:
    return _text("mrkdwn", longest, verbatim={"const": True})


def _block(kind: str, required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", *required],
        "additionalProperties": False,
        "properties": {"type": {"const": kind}, **properties},
    }


SLACK = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 40_000},
        "unfurl_links": {"const": False},
        "unfurl_media": {"const": False},
        "blocks": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {
                "oneOf": [
                    _block("header", ["text"], text=_plain(150)),
                    _block("section", ["text"], text={"oneOf": [_markdown(3000), _plain(3000)]}),
                    _block("section", ["fields"], fields={"type": "array", "minItems": 1, "maxItems": 10, "items": _plain(2000)}),
                    _block("context", ["elements"], elements={"type": "array", "minItems": 1, "maxItems": 10, "items": _plain(3000)}),
                ]
            },
        },
    },
}

_NOBODY = {"type": "object", "required": ["parse"], "additionalProperties": False, "properties": {"parse": {"const": []}}}
_EMBED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 256},
        "fields": {
            "type": "array",
            "maxItems": 25,
            "items": {
                "type": "object",
                "required": ["name", "value"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"\S"},
                    "value": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"\S"},
                    "inline": {"type": "boolean"},
                },
            },
        },
        "footer": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "maxLength": 2048}}},
    },
}
DISCORD = {
    "type": "object",
    "required": ["allowed_mentions"],
    "additionalProperties": False,
    "anyOf": [{"required": ["content"]}, {"required": ["embeds"]}],
    "properties": {
        "allowed_mentions": _NOBODY,
        "content": {"type": "string", "minLength": 1, "maxLength": 2000, "pattern": r"\S"},
        "embeds": {"type": "array", "minItems": 1, "maxItems": 10, "items": _EMBED},
    },
}

_RUN = {
    "type": "object",
    "required": ["type", "text"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "TextRun"},
        "text": {"type": "string", "minLength": 1},
        "weight": {"enum": ["Default", "Lighter", "Bolder"]},
        "size": {"enum": ["Default", "Small", "Medium", "Large", "ExtraLarge"]},
        "isSubtle": {"type": "boolean"},
    },
}
_CARD = {
    "type": "object",
    "required": ["type", "version", "body"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "http://adaptivecards.io/schemas/adaptive-card.json"},
        "type": {"const": "AdaptiveCard"},
        "version": {"enum": ["1.2", "1.3", "1.4", "1.5"]},
        "body": {
            "type": "array",
            "minItems": 1,
            "items": _block("RichTextBlock", ["inlines"], inlines={"type": "array", "minItems": 1, "items": _RUN}),
        },
    },
}
TEAMS = {
    "type": "object",
    "required": ["type", "attachments"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "message"},
        "attachments": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["contentType", "content"],
                "additionalProperties": False,
                "properties": {
                    "contentType": {"const": "application/vnd.microsoft.card.adaptive"},
                    "contentUrl": {"type": "null"},
                    "content": _CARD,
                },
            },
        },
    },
}


def _slack(body: bytes) -> None:
    Draft202012Validator(SLACK).validate(json.loads(body))


def _discord(body: bytes) -> None:
    message = json.loads(body)
    Draft202012Validator(DISCORD).validate(message)
    for embed in message.get("embeds", ()):
        texts = [embed.get("title", ""), embed.get("footer", {}).get("text", "")]
        texts += [text for found in embed.get("fields", ()) for text in (found["name"], found["value"])]
        assert sum(map(len, texts)) <= 6000


def _teams(body: bytes) -> None:
    Draft202012Validator(TEAMS).validate(json.loads(body))
    assert len(body) <= 28 * 1024


# Raises what is wrong with the body of a request to that provider's webhook.
CHECKS: dict[str, Callable[[bytes], None]] = {"slack": _slack, "discord": _discord, "teams": _teams}


def texts(value: Any) -> list[str]:
    """Every text in a message that people see."""
    if isinstance(value, dict):
        return [text for name, item in value.items() if name not in ("type", "$schema", "contentType", "version") for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []
