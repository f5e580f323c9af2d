"""How many endpoints an application may have, and have had."""

from __future__ import annotations

import pytest

from graphook.errors import LimitExceeded
from models.application import Application
from models.endpoint import Endpoint
from tests.models import make

pytestmark = pytest.mark.usefixtures("db")


async def filled_and_emptied(app: Application) -> None:
    endpoints = [await make.endpoint(app) for _ in range(2)]
    with pytest.raises(LimitExceeded, match="delete one first"):
        await Endpoint.require_room(app, 2)
    for endpoint in endpoints:
        await endpoint.remove()


async def test_an_application_has_room_again_for_what_was_deleted_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.endpoint.REMEMBERED", 2)
    app, elsewhere = await make.application(), await make.application()
    for _ in range(4):
        await make.endpoint(elsewhere)

    await filled_and_emptied(app)
    await Endpoint.require_room(app, 2)
    await filled_and_emptied(app)

    with pytest.raises(LimitExceeded, match="forgotten first"):
        await Endpoint.require_room(app, 2)
    await Endpoint.require_room(app, 3)
