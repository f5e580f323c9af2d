"""The templates that come with the service, run in the sandbox: messages as the providers document them, whatever a payload holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from graphook.sandbox import Sandbox
from graphook.transformation import TransformationError, Webhook
from models.built_in_template import listed
from tests.messages import CHECKS, texts

CODE = {values["name"]: values["transformation"] for values in listed()}
NAMES = {"slack": "Slack", "discord": "Discord", "teams": "Microsoft Teams", "reshape": "Other JSON"}
CHATS = ["slack", "discord", "teams"]
INVOICE = {"id": "in_1", "total": 12.5, "paid": True, "customer": {"name": "Ada <& Co>", "tags": ["a", "b"]}, "note": None}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The sandbox."""
    running = Sandbox()
    yield running
    await running.close()


async def made(sandbox: Sandbox, name: str, payload: Any, event_type: str = "invoice.paid", **variables: str) -> Any:
    """The message that becomes of a payload, once the provider's documentation has been held against it."""
    # Half a character can only be sent as an escape.
    body = json.dumps(payload, ensure_ascii=payload == HOSTILE["half characters"]).encode()
    webhook = Webhook("POST", "https://example.com/hook", body, event_type, {})
    found = await sandbox.transform(CODE[NAMES[name]], webhook, tenant="acme", variables=variables)
    assert (found.url, found.cancel) == (webhook.url, False)
    if name in CHECKS:
        CHECKS[name](found.payload)
        assert found.method == "POST"
    return json.loads(found.payload)


async def test_slack_gets_a_header_and_fields(sandbox: Sandbox) -> None:
    message = await made(sandbox, "slack", INVOICE)

    assert message["text"] == "invoice.paid"
    header, section = message["blocks"]
    assert header["text"]["text"] == "invoice.paid"
    assert [field["text"] for field in section["fields"]] == [
        "id\nin_1",
        "total\n12.5",
        "paid\ntrue",
        "customer.name\nAda &lt;&amp; Co&gt;",
        'customer.tags\n["a","b"]',
        "note\nnull",
    ]


async def test_discord_gets_an_embed_that_calls_nobody(sandbox: Sandbox) -> None:
    message = await made(sandbox, "discord", INVOICE)

    (embed,) = message["embeds"]
    assert embed["title"] == "invoice.paid"
    assert [(field["name"], field["value"]) for field in embed["fields"]][:4] == [
        ("id", r"in\_1"),
        ("total", "12.5"),
        ("paid", "true"),
        ("customer.name", r"Ada \<& Co\>"),
    ]


async def test_teams_gets_an_adaptive_card_of_text_without_markup(sandbox: Sandbox) -> None:
    message = await made(sandbox, "teams", INVOICE)

    blocks = message["attachments"][0]["content"]["body"]
    lines = ["".join(run["text"] for run in block["inlines"]) for block in blocks]
    assert lines[:5] == ["invoice.paid", "id: in_1", "total: 12.5", "paid: true", "customer.name: Ada <& Co>"]


@pytest.mark.parametrize("name", CHATS)
async def test_the_variable_text_says_what_one_wants(sandbox: Sandbox, name: str) -> None:
    message = await made(
        sandbox,
        name,
        INVOICE,
        text="Invoice {{id}} of {{ customer.name }}: {{total}} {{nothing}}{{id.length}}{{customer.__proto__}}{{customer.tags.1}} ({{eventType}})",
    )

    shown = {
        "slack": "Invoice in_1 of Ada &lt;&amp; Co&gt;: 12.5 b (invoice.paid)",
        "discord": r"Invoice in\_1 of Ada \<& Co\>: 12.5 b (invoice.paid)",
        "teams": "Invoice in_1 of Ada <& Co>: 12.5 b (invoice.paid)",
    }
    assert shown[name] in texts(message)


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("text", [" ", " \n\t\u00a0", "{{nothing}}", "{{nothing}} {{customer.nothing}}\n", "{{blank}}"])
async def test_a_text_with_nothing_to_see_says_the_event_type(sandbox: Sandbox, name: str, text: str) -> None:
    message = await made(sandbox, name, {**INVOICE, "blank": " \u0007 "}, text=text)

    assert "invoice.paid" in texts(message)
    assert all(text.strip() for text in texts(message))


async def test_nothing_of_a_payload_is_markup_in_slack_unless_the_variable_text_says_it(sandbox: Sandbox) -> None:
    markup = "*_x_* ~q~ `c` :smile:"

    for block in (await made(sandbox, "slack", {markup: markup, "a": {markup: markup}}))["blocks"]:
        for shown in [block["text"]] if "text" in block else block["fields"]:
            assert (shown["type"], shown["emoji"]) == ("plain_text", False)
    (block,) = (await made(sandbox, "slack", {"a": "x"}, text="*{{a}}*"))["blocks"]
    assert block["text"] == {"type": "mrkdwn", "text": "*x*", "verbatim": True}


HOSTILE: dict[str, Any] = {
    "long text": {"a": "x" * 300_000, "b" * 100_000: "y"},
    "wide text": {f"😀{number}" * 100: "😀" * 5000 for number in range(50)},
    "quotes and backslashes": {'"\\' * 300: '"\\' * 5000, **{f'"{number}': "\\" * 3000 for number in range(40)}},
    "markup": {"<script>*_`~|": "<script>alert(1)</script> [a](javascript:alert(1)) **b** `c` ||d|| # e"},
    "many fields": {f"field {number}": "v" * 2000 for number in range(400)},
    "empty": {},
    "empty names and values": {"": "", " ": " ", "\n": "\n"},
    "controls": {"\u0001\u202e\u2066": "a\u0000b\u202ec\u0007\u0085"},
    "half characters": {"\ud800": "\udfff x \ud83d"},
    "deep": json.loads('{"a":' * 90 + "1" + "}" * 90),
    "inherited names": {"__proto__": {"x": 1}, "constructor": "c", "toString": None, "hasOwnProperty": 5},
    "a list within a list": {"a": [[[["x" * 100] * 100] * 10]]},
    "escapes at the edge": {"a": "&" * 1999, "b": "*" * 1023, "c": "<" * 400},
}


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("payload", HOSTILE)
async def test_a_hostile_payload_becomes_a_message_all_the_same(sandbox: Sandbox, name: str, payload: str) -> None:
    message = await made(sandbox, name, HOSTILE[payload])
    if payload in ("long text", "many fields"):
        assert any("…" in text or "more" in text for text in texts(message))
    for text in texts(message):
        assert not set(text) & set("\u0000\u0001\u0007\u0085\u202e\u2066")
    await made(sandbox, name, HOSTILE[payload], event_type="e" * 256, text="{{payload}}{{eventType}}" + "{{a}}" * 200)


MENTIONS = (
    "@everyone @here <!channel> <!everyone> <@U123> <@&42> <#C1> <https://evil.example.com|Sign in> [Sign in](https://evil.example.com)"
)


async def test_nothing_in_a_payload_mentions_anybody_or_becomes_a_link_in_slack(sandbox: Sandbox) -> None:
    for message in (await made(sandbox, "slack", {MENTIONS: MENTIONS}), await made(sandbox, "slack", {"a": MENTIONS}, text="{{a}}")):
        for text in texts(message):
            assert not set(text) & set("<>"), text


async def test_nothing_in_a_payload_mentions_anybody_or_becomes_a_link_in_discord(sandbox: Sandbox) -> None:
    for message in (await made(sandbox, "discord", {MENTIONS: MENTIONS}), await made(sandbox, "discord", {"a": MENTIONS}, text="{{a}}")):
        assert message["allowed_mentions"] == {"parse": []}
        for text in texts(message):
            assert "@everyone" not in text
            assert "@here" not in text
            for at, character in enumerate(text):
                assert character not in "<>[]" or text[at - 1] == "\\", text


async def test_an_escape_is_never_cut_in_two(sandbox: Sandbox) -> None:
    for spaces in range(6):
        (block,) = (await made(sandbox, "slack", {"a": " " * spaces + "&" * 3000}))["blocks"][1:]
        assert set(block["fields"][0]["text"].split("\n")[1].strip(" ").removesuffix("…").replace("&amp;", "")) == set()
        (field,) = (await made(sandbox, "discord", {"a": " " * spaces + "*" * 3000}))["embeds"][0]["fields"]
        assert set(field["value"].strip(" ").removesuffix("…").replace("\\*", "")) == set()


async def test_other_json_has_the_shape_that_is_asked_for(sandbox: Sandbox) -> None:
    shape = {
        "id": "{{ id }}",
        "total": "{{total}}",
        "text": "{{id}}: {{total}}{{nothing}}",
        "who": ["{{customer.name}}", "{{nothing}}"],
        "n": 5,
    }

    assert await made(sandbox, "reshape", INVOICE, shape=json.dumps(shape)) == {
        "id": "in_1", "total": 12.5, "text": "in_1: 12.5", "who": ["Ada <& Co>", None], "n": 5,
    }  # fmt: skip
    assert await made(sandbox, "reshape", INVOICE) == {"type": "invoice.paid", "data": INVOICE}
    assert await made(sandbox, "reshape", INVOICE, shape='{"all": "{{payload}}", "tag": "{{payload.customer.tags.0}}"}') == {
        "all": INVOICE,
        "tag": "a",
    }


async def test_other_json_may_be_put(sandbox: Sandbox) -> None:
    webhook = Webhook("POST", "https://example.com/", b"{}", "a", {})
    assert (await sandbox.transform(CODE["Other JSON"], webhook, tenant="acme", variables={"method": "PUT"})).method == "PUT"


# Half a character cannot be sent: the sandbox refuses it.
@pytest.mark.parametrize("payload", sorted(set(HOSTILE) - {"half characters"}))
async def test_a_hostile_payload_stays_within_the_shape(sandbox: Sandbox, payload: str) -> None:
    shape = '{"kept": {"__proto__": "{{payload}}", "first": "{{a}}"}, "constructor": "{{constructor.constructor}}"}'

    found = await made(sandbox, "reshape", HOSTILE[payload], shape=shape)

    assert list(found) == ["kept", "constructor"]
    assert list(found["kept"]) == ["__proto__", "first"]
    assert found["constructor"] is None


@pytest.mark.parametrize("shape", ["{", "[]", "null", '"{{payload}}"'])
async def test_a_shape_that_is_no_object_fails_and_says_so(sandbox: Sandbox, shape: str) -> None:
    with pytest.raises(TransformationError) as failed:
        await made(sandbox, "reshape", INVOICE, shape=shape)
    assert "The variable shape is not" in str(failed.value)
