"""The check of the sandbox: whether transformations run here, and what of their confinement the system refuses."""

from __future__ import annotations

from graphook.findings import Finding
from graphook.sandbox import Sandbox
from graphook.settings import Settings
from graphook.transformation import TransformationError


async def sandbox_finding(settings: Settings) -> Finding:
    """What a process of the sandbox says when it is started."""
    sandbox = Sandbox.of(settings)
    try:
        lacking = await sandbox.lacking()
    except TransformationError as error:
        return Finding("fail", f"transformations cannot run: {error.message}", "See what the log says of the processes of the sandbox.")
    finally:
        await sandbox.close()
    if lacking:
        return Finding("warn", f"transformations run without {lacking}", "The other walls stand; give the service the right if you can.")
    return Finding("ok", "transformations run in processes that have nothing")
