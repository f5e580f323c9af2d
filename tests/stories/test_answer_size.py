"""Stories of answers that would be too large: refused before they are written, whatever they are large with."""

from __future__ import annotations

import pytest

from tests.tenant import Refused, Tenant

NAMES = 17
LARGE = f"query ($first: Int) {{ eventTypes(first: $first) {{ nodes {{ {' '.join(f'd{n}: description s{n}: schemas' for n in range(NAMES))} }} }} }}"


async def test_a_few_large_texts_under_many_names_are_no_answer(acme: Tenant) -> None:
    description, schemas = "€" * 65_536, {"1": {"description": "s" * 200_000}}
    for number in range(12):
        await acme.event_type(f"large.{number}", description=description, schemas=schemas)

    (listed,) = (await acme.execute(LARGE, {"first": 1}))["nodes"]
    assert listed == {f"d{n}": description for n in range(NAMES)} | {f"s{n}": schemas for n in range(NAMES)}
    with pytest.raises(Refused) as refused:
        await acme.execute(LARGE, {"first": 12})
    assert refused.value.errors == [
        {"message": "One answer has at most 64 MiB; ask for less at once.", "extensions": {"code": "LIMIT_EXCEEDED"}}
    ]
    async with acme.follow(LARGE, {"first": 12}) as events:
        with pytest.raises(Refused) as refused:
            await events.next()
    assert refused.value.code == "LIMIT_EXCEEDED"
