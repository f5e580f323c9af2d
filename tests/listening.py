"""Ending the servers of tests."""

from __future__ import annotations

import asyncio


async def stop_listening(server: asyncio.Server) -> None:
    """Close the server, and first be done with whom it is letting in: asyncio forgets, unclosed, who is half in when the server closes.

    The warning of that, an error here, would fail whichever test is running when the memory is collected.
    """
    while letting_in := [task for task in asyncio.all_tasks() if "_accept_connection" in repr(task.get_coro())]:
        await asyncio.wait(letting_in)
    server.close()
