"""The templates that come with the service: their code is JavaScript in `graphook/templates`, their ids are the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from graphook.ids import LENGTH
from graphook.package_data import templates_folder


def id_of(name: str) -> str:
    """Its id: a well-formed one below any that is made, so that a list begins with them."""
    return f"trtmpl_{name.rjust(LENGTH, '0')}"


IDS = {id_of(name): name for name in ("discord", "reshape", "slack", "teams")}
_SINCE = datetime(2026, 11, 26, tzinfo=UTC)
_TEXT = "The variable `text`, such as `Invoice {{number}} was paid`, says something else than all fields of the payload; `{{eventType}}` stands for the event type."

_ABOUT: dict[str, dict[str, Any]] = {
    "slack": {
        "name": "Slack",
        "kind": "Slack",
        "description": "Messages in a Slack channel.",
        "instructions": f"The URL of the endpoint is that of an incoming webhook of a Slack app. {_TEXT}",
        "instructions_link": "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/",
    },
    "discord": {
        "name": "Discord",
        "kind": "Discord",
        "description": "Messages in a Discord channel.",
        "instructions": f"The URL of the endpoint is that of a webhook of the channel: Edit Channel, Integrations, Webhooks. {_TEXT}",
        "instructions_link": "https://support.discord.com/hc/en-us/articles/228383668-Intro-to-Webhooks",
    },
    "teams": {
        "name": "Microsoft Teams",
        "kind": "Teams",
        "description": "Adaptive cards in a Teams channel or chat.",
        "instructions": f"The URL of the endpoint is that of the workflow “Send webhook alerts to a channel” in the Workflows app of Teams. {_TEXT}",
        "instructions_link": "https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498",
    },
    "reshape": {
        "name": "Other JSON",
        "kind": "Custom",
        "description": "JSON of a shape that you give.",
        "instructions": 'The variable `shape` is a JSON object with placeholders, such as `{"id": "{{number}}", "text": "{{number}} was paid"}`: '
        "a text that is nothing but a placeholder becomes the value itself, null where there is none; `{{payload}}` is all of it and `{{eventType}}` "
        "the event type. The variable `method` may be PUT.",
        "instructions_link": None,
    },
}


# What the code of each looks for in webhook.env.
_VARIABLES: dict[str, Sequence[str]] = {"discord": ("text",), "reshape": ("shape", "method"), "slack": ("text",), "teams": ("text",)}


def variables_of(template_id: str) -> Sequence[str] | None:
    """The names of the variables that a built-in template knows; None for a template that is none."""
    return _VARIABLES[IDS[template_id]] if template_id in IDS else None


@cache
def listed() -> Sequence[dict[str, Any]]:
    """The columns of each but the organisation, by id."""
    folder = templates_folder()
    common = (folder / "common.js").read_text("utf-8")
    return [
        {
            "id": template_id,
            "logo": f"/templates/{name}.svg",
            "transformation": f"{common}\n{(folder / f'{name}.js').read_text('utf-8')}",
            "feature_flag": None,
            "filter_types": None,
            "created_at": _SINCE,
            "updated_at": _SINCE,
            **_ABOUT[name],
        }
        for template_id, name in sorted(IDS.items())
    ]
