"""Stories of applications: their life, their uids, and requests that are repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.tenant import Refused, Tenant


async def test_an_application_is_created_read_changed_and_deleted(acme: Tenant) -> None:
    app = await acme.do("ApplicationCreate", input={"name": "Acme", "uid": "acme-1", "rateLimit": 7, "metadata": {"plan": "pro"}})

    assert app["metadata"] == {"plan": "pro"}
    assert await acme.run("Application", id=app["id"]) == app
    assert await acme.run("Application", id="acme-1") == app

    patched = await acme.do("ApplicationPatch", id="acme-1", input={"name": "Acme Inc."})
    assert (patched["name"], patched["rateLimit"], patched["metadata"]) == ("Acme Inc.", 7, {"plan": "pro"})
    assert patched["updatedAt"] > app["updatedAt"]
    cleared = await acme.do("ApplicationPatch", id=app["id"], input={"rateLimit": None, "uid": None})
    assert (cleared["rateLimit"], cleared["uid"]) == (None, None)

    replaced = await acme.do("ApplicationUpdate", id=app["id"], input={"name": "Again"})
    assert (replaced["name"], replaced["metadata"]) == ("Again", {})

    assert await acme.do("ApplicationDelete", id=app["id"]) == app["id"]
    assert await acme.run("Application", id=app["id"]) is None
    assert await acme.fault("ApplicationDelete", id=app["id"]) == ("NOT_FOUND", ["id"])


async def test_a_uid_belongs_to_one_application_and_is_free_again_after_deletion(acme: Tenant, rival: Tenant) -> None:
    app = await acme.application(uid="taken")

    assert await acme.fault("ApplicationCreate", input={"name": "b", "uid": "taken"}) == ("CONFLICT", ["input", "uid"])
    other = await acme.application()
    assert await acme.fault("ApplicationPatch", id=other["id"], input={"uid": "taken"}) == ("CONFLICT", ["input", "uid"])
    assert (await rival.application(uid="taken"))["uid"] == "taken"

    await acme.do("ApplicationDelete", id=app["id"])
    assert (await acme.application(uid="taken"))["id"] != app["id"]


async def test_get_if_exists_answers_with_the_existing_application(acme: Tenant) -> None:
    first = await acme.run("ApplicationCreate", input={"name": "a", "uid": "u"}, getIfExists=True)
    again = await acme.run("ApplicationCreate", input={"name": "b", "uid": "u"}, getIfExists=True)

    assert (first["created"], again["created"]) == (True, False)
    assert again["application"] == first["application"]


@pytest.mark.parametrize("body", [{}, {"uid": None}, {"uid": "not-there"}])
async def test_updating_an_unknown_uid_creates_the_application_once(acme: Tenant, body: dict[str, Any]) -> None:
    first = await acme.run("ApplicationUpdate", id="not-there", input={"name": "New", **body})
    again = await acme.run("ApplicationUpdate", id="not-there", input={"name": "Newer", **body})

    assert (first["created"], again["created"]) == (True, False)
    assert first["application"]["uid"] == again["application"]["uid"] == "not-there"
    assert (again["application"]["id"], again["application"]["name"]) == (first["application"]["id"], "Newer")
    assert (await acme.do("ApplicationUpdate", id=first["application"]["id"], input={"name": "Newest"}))["uid"] is None


@pytest.mark.parametrize(
    ("reference", "uid", "fault"),
    [
        ("app_000000000000000000000000000", None, ("NOT_FOUND", ["id"])),
        ("app_", "app", ("NOT_FOUND", ["id"])),
        ("ep_1", None, ("INVALID_UID_PREFIX", ["id"])),
        ("not a uid", None, ("BAD_USER_INPUT", ["id"])),
        ("not-there", "elsewhere", ("BAD_USER_INPUT", ["input", "uid"])),
    ],
)
async def test_an_update_creates_nothing_under_another_id(
    acme: Tenant, reference: str, uid: str | None, fault: tuple[str, list[str]]
) -> None:
    assert await acme.fault("ApplicationUpdate", id=reference, input={"name": "New", "uid": uid}) == fault
    assert (await acme.run("Applications"))["nodes"] == []


async def test_an_idempotency_key_gives_the_same_application_and_refuses_other_arguments(acme: Tenant) -> None:
    first = await acme.run("ApplicationCreate", input={"name": "once"}, idempotencyKey="k1")
    again = await acme.run("ApplicationCreate", input={"name": "once"}, idempotencyKey="k1")

    assert again["application"] == first["application"]
    assert (first["created"], again["created"]) == (True, False)
    code, path = await acme.fault("ApplicationCreate", input={"name": "twice"}, idempotencyKey="k1")
    assert (code, path) == ("IDEMPOTENCY_KEY_REUSED", ["idempotencyKey"])

    by_header = await acme.run_with({"Idempotency-Key": "k2"}, "ApplicationCreate", input={"name": "header"})
    repeated = await acme.run_with({"Idempotency-Key": "k2"}, "ApplicationCreate", input={"name": "header"})
    assert repeated["application"]["id"] == by_header["application"]["id"]


async def test_a_key_that_differs_from_the_header_is_refused(acme: Tenant) -> None:
    header = {"Idempotency-Key": "k1"}
    refused = await acme.run_with(header, "ApplicationCreate", input={"name": "other"}, idempotencyKey="k2")
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [("BAD_USER_INPUT", ["idempotencyKey"])]
    assert (await acme.run("Applications"))["nodes"] == []

    same = await acme.run_with(header, "ApplicationCreate", input={"name": "same"}, idempotencyKey="k1")
    assert same["created"] is True
    # Where there are several mutations, the header is that of none of them.
    create = 'applicationCreate(input: {name: "%s"}, idempotencyKey: "%s") { created errors { code } }'
    several = f"mutation {{ a: {create % ('a', 'k3')} b: {create % ('b', 'k4')} }}"
    assert [made["created"] for made in (await acme.execute(several, headers=header)).values()] == [True, True]


async def test_many_requests_with_one_key_at_once_create_one_application(acme: Tenant) -> None:
    payloads = await asyncio.gather(*(acme.run("ApplicationCreate", input={"name": "raced"}, idempotencyKey="race") for _ in range(20)))

    assert len({payload["application"]["id"] for payload in payloads}) == 1
    assert len((await acme.run("Applications"))["nodes"]) == 1


async def test_a_failed_creation_leaves_its_idempotency_key_free(acme: Tenant) -> None:
    await acme.application(uid="in-the-way")

    assert await acme.fault("ApplicationCreate", input={"name": "x", "uid": "in-the-way"}, idempotencyKey="k") == (
        "CONFLICT",
        ["input", "uid"],
    )

    assert (await acme.run("ApplicationCreate", input={"name": "x", "uid": "free"}, idempotencyKey="k"))["created"] is True


async def test_a_creation_that_is_repeated_after_its_deletion_makes_nothing_and_names_its_key(acme: Tenant) -> None:
    in_app = {"appId": (await acme.application())["id"]}
    template = {"name": "t", "logo": "https://example.com/l", "transformation": "function handler(w) { return w; }"}
    made: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], dict[str, Any]]]] = [
        ("Application", {"input": {"name": "once"}}, lambda found: {"id": found["application"]["id"]}),
        ("Endpoint", {**in_app, "input": {"url": "https://example.com/"}}, lambda found: {**in_app, "id": found["endpoint"]["id"]}),
        ("EventType", {"input": {"name": "a.b", "description": ""}}, lambda _: {"name": "a.b", "expunge": True}),
        ("Integration", {**in_app, "input": {"name": "once"}}, lambda found: {**in_app, "id": found["integration"]["id"]}),
        ("OperationalEndpoint", {"input": {"url": "https://example.com/"}}, lambda found: {"id": found["endpoint"]["id"]}),
        ("Template", {"input": template}, lambda found: {"id": found["template"]["id"]}),
    ]
    for noun, arguments, of_it in made:
        keyed = {**arguments, "idempotencyKey": "once"}
        found = await acme.run(f"{noun}Create", **keyed)
        assert (await acme.run(f"{noun}Delete", **of_it(found)))["errors"] == []

        (error,) = (await acme.run(f"{noun}Create", **keyed))["errors"]
        assert (error["code"], error["path"]) == ("NOT_FOUND", ["idempotencyKey"]), noun
        assert error["message"] == "What this idempotency key made was deleted since; a new key makes another."
        assert (await acme.run(f"{noun}Create", **{**keyed, "idempotencyKey": "another"}))["created"] is True


async def test_lists_page_both_ways_in_both_styles_without_gap_or_repetition(acme: Tenant) -> None:
    ids = [(await acme.application())["id"] for _ in range(7)]

    first = await acme.run("Applications", first=3)
    assert [node["id"] for node in first["nodes"]] == ids[:3]
    assert first["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False, "startCursor": ids[0], "endCursor": ids[2]}
    assert (first["iterator"], first["prevIterator"], first["done"]) == (ids[2], f"-{ids[0]}", False)

    second = await acme.run("Applications", limit=3, iterator=first["iterator"])
    assert [node["id"] for node in second["nodes"]] == ids[3:6]
    assert second["pageInfo"]["hasPreviousPage"] is True
    third = await acme.run("Applications", after=second["pageInfo"]["endCursor"], first=3)
    assert ([node["id"] for node in third["nodes"]], third["done"]) == (ids[6:], True)

    back = await acme.run("Applications", limit=2, iterator=f"-{ids[6]}")
    assert ([node["id"] for node in back["nodes"]], back["done"]) == (ids[4:6], False)
    before = await acme.run("Applications", last=10, before=ids[2])
    assert ([node["id"] for node in before["nodes"]], before["done"]) == (ids[:2], True)
    assert before["pageInfo"]["hasNextPage"] is True

    descending = await acme.run("Applications", first=2, order="DESCENDING")
    assert [node["id"] for node in descending["nodes"]] == [ids[6], ids[5]]


async def test_a_page_past_the_end_says_that_there_is_something_behind_it_also_of_a_list_of_one(acme: Tenant) -> None:
    app = await acme.application()
    pages = [await acme.run("Applications", after=app["id"]), await acme.run("Applications", before=app["id"])]
    assert [page["nodes"] for page in pages] == [[], []]
    assert [(page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) for page in pages] == [(True, False), (False, True)]

    await acme.do("ApplicationDelete", id=app["id"])
    for page in (await acme.run("Applications", after=app["id"]), await acme.run("Applications", before=app["id"])):
        assert (page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"first": 0}, "first"),
        ({"first": 251}, "first"),
        ({"limit": 251}, "limit"),
        ({"last": -1}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"first": 1, "limit": 1}, "limit"),
        ({"after": "msg_000000000000000000000000000"}, "after"),
        ({"iterator": "app_!"}, "iterator"),
        ({"iterator": "-app_zzzzzzzzzzzzzzzzzzzzzzzzzzz"}, "iterator"),
    ],
)
async def test_a_bad_page_argument_is_an_error_that_names_it(acme: Tenant, arguments: dict[str, object], path: str) -> None:
    with pytest.raises(Refused) as refused:
        await acme.run("Applications", **arguments)

    assert (refused.value.code, refused.value.path) == ("BAD_USER_INPUT", [path])


async def test_node_finds_what_is_ours_and_nothing_else(acme: Tenant, rival: Tenant) -> None:
    ours, theirs = await acme.application(), await rival.application()
    endpoint = await acme.endpoint(ours, "https://example.com/hook")
    message = await acme.message(ours)
    unknown = "ep_000000000000000000000000000"

    found = await acme.run("Nodes", ids=[message["id"], theirs["id"], endpoint["id"], unknown, "nonsense", ours["id"]])

    assert [node and node["__typename"] for node in found] == ["Message", None, "Endpoint", None, None, "Application"]
