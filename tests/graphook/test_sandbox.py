"""The sandbox: what handlers can do, what they cannot do to anybody, and what becomes of a process that misbehaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from graphook import sandbox_process
from graphook.sandbox import CLOCK, Sandbox
from graphook.transformation import MAX_CODE, MAX_PAYLOAD, TransformationError, Webhook
from tests.deployment import ROOT
from tests.waiting import until

WEBHOOK = Webhook("POST", "https://example.com/hook", b'{"name":"Ada","n":1}', "user.signup", {})
# Far beyond what the limits allow, far below what an endless loop takes.
SOON = 30.0


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox for what ends by itself: a busy machine makes nothing too slow."""
    found = Sandbox(processes=1, seconds=10)
    yield found
    await found.close()
    assert child_ids() == []


@pytest.fixture
async def impatient() -> AsyncIterator[Sandbox]:
    """A sandbox for what does not, with the limit of the settings."""
    found = Sandbox(processes=1)
    yield found
    await found.close()
    assert child_ids() == []


async def run(sandbox: Sandbox, code: str, payload: bytes = WEBHOOK.payload, tenant: str = "app_1", **more: Any) -> Any:
    """The payload that a handler makes of another."""
    made = await sandbox.transform(code, Webhook("POST", WEBHOOK.url, payload, "user.signup", {}), tenant=tenant, **more)
    return orjson.loads(made.payload)


async def refused(sandbox: Sandbox, code: str, **more: Any) -> TransformationError:
    with pytest.raises(TransformationError) as error:
        await run(sandbox, code, **more)
    return error.value


def child_ids() -> list[int]:
    """The processes of sandboxes that this process has started."""
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    listed = [int(pid) for thread in threads for pid in process_file(os.getpid(), f"task/{thread}/children").split()]
    return [pid for pid in listed if "sandbox_child" in process_file(pid, "cmdline")]


def process_file(pid: int, name: str) -> str:
    """What the system says of a process, which may end at any time; nothing when it, or the thread that is asked about, is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_a_handler_changes_what_is_sent(sandbox: Sandbox) -> None:
    code = """
        function handler(webhook) {
          webhook.method = "PUT";
          webhook.url = webhook.url + "/" + webhook.eventType;
          webhook.headers["x-team"] = webhook.env.TEAM;
          webhook.payload = {text: webhook.payload.name, of: webhook.channels, hint: webhook.transformationsParams.hint};
          return webhook;
        }"""
    given = Webhook("POST", WEBHOOK.url, WEBHOOK.payload, WEBHOOK.event_type, {}, channels=["a"])
    made = await sandbox.transform(code, given, tenant="app_1", variables={"TEAM": "blue"}, params='{"hint":[1]}')

    assert (made.method, made.url, made.headers) == ("PUT", "https://example.com/hook/user.signup", {"x-team": "blue"})
    assert orjson.loads(made.payload) == {"text": "Ada", "of": ["a"], "hint": [1]}


async def test_what_a_handler_leaves_out_stays_but_the_payload_must_be_there(sandbox: Sandbox) -> None:
    made = await sandbox.transform("function handler(webhook) { return {payload: [1]} }", WEBHOOK, tenant="app_1")
    assert (made.method, made.url, made.headers, made.payload, made.cancel) == ("POST", WEBHOOK.url, {}, b"[1]", False)
    assert (await refused(sandbox, "function handler(webhook) { return {url: webhook.url} }")).code == "BAD_OUTPUT"


async def test_a_handler_may_cancel(sandbox: Sandbox) -> None:
    made = await sandbox.transform("function handler(webhook) { webhook.cancel = true; return webhook }", WEBHOOK, tenant="app_1")
    assert made.cancel
    assert made.payload == WEBHOOK.payload


async def test_a_handler_may_be_asynchronous_and_talk_to_the_console(sandbox: Sandbox) -> None:
    code = "const handler = async (webhook) => { console.log(1); webhook.payload.n = await Promise.resolve(7); return webhook }"
    assert await run(sandbox, code) == {"name": "Ada", "n": 7}


async def test_what_is_no_json_reaches_the_handler_as_text(sandbox: Sandbox) -> None:
    code = "function handler(webhook) { return {payload: {text: webhook.payload}} }"
    assert await run(sandbox, code, b"a=1&b=2 \xff") == {"text": "a=1&b=2 \ufffd"}


@pytest.mark.parametrize("text", [b'{"__proto__":{"x":1},"constructor":{"prototype":{"y":1}}}', b'{"a":"\\u0000\\u2028"}', b"{}"])
async def test_a_payload_that_passes_through_stays_what_it_is(sandbox: Sandbox, text: bytes) -> None:
    found = await run(sandbox, "function handler(webhook) { if (({}).x || ({}).y) throw 1; return webhook }", text)
    assert found == orjson.loads(text)


ENDLESS = {
    "loop": "function handler(w){while(true){}}",
    "top level": "while(true){}; function handler(w){return w}",
    "regular expression": "function handler(w){/^(a+)+$/.test('a'.repeat(40)+'!')}",
    "getter": "function handler(w){Object.defineProperty(w,'payload',{get(){while(1);}});return w}",
    "toJSON": "function handler(w){w.payload={toJSON(){while(1);}};return w}",
    "proxy": "function handler(w){w.payload=new Proxy({}, {ownKeys(){while(1);}});return w}",
    "comparator": "function handler(w){return [3,1,2].sort(()=>{while(1);})}",
    "console": "function handler(w){for(;;)console.log('x')}",
    "thrown toString": "function handler(w){throw {toString(){while(1);}}}",
    "thrown at top level": "throw {toString(){while(1);}}",
    "error with a getter": "function handler(w){const e=new Error('x');Object.defineProperty(e,'message',{get(){while(1);}});throw e}",
    "after an await": "async function handler(w){await null; while(1);}",
    "microtasks": "function handler(w){let f=()=>{queueMicrotask(f)};f();return new Promise(()=>{})}",
    "caught and again": "function handler(w){for(;;){try{while(1);}catch(e){}finally{continue}}}",
    "eval": "function handler(w){eval('while(1);')}",
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_handler_without_end_is_ended(impatient: Sandbox, name: str) -> None:
    began = time.monotonic()
    error = await refused(impatient, ENDLESS[name])
    assert (error.code, str(error)) == ("TIMEOUT", "The code ran for too long.")
    assert time.monotonic() - began < SOON
    assert await run(impatient, "function handler(w){return w}") == {"name": "Ada", "n": 1}


GREEDY = {
    "list": "function handler(w){let a=[];for(;;)a.push(new Array(100000).fill(1))}",
    "string": "function handler(w){let s='x';for(;;)s+=s}",
    "pieces": "function handler(w){let b='x';while(b.length<2**28)b+=b; return b.split('')}",
    "promises": "function handler(w){let f=()=>Promise.resolve().then(f);return f()}",
    "after an await": "async function handler(w){await null; let a=[];for(;;)a.push(new Array(100000).fill(1))}",
    "shared buffer": "function handler(w){const a=[];for(;;)a.push(new SharedArrayBuffer(2**22))}",
    "buffers": "function handler(w){const a=[];for(;;)a.push(new ArrayBuffer(2**22))}",
    "output": "function handler(w){const s='x'.repeat(1e7);return {payload:[s,s,s,s]}}",
    "thrown": "function handler(w){throw new Error('x'.repeat(5e7))}",
    "depth": "function handler(w){let o={};let p=o;for(let i=0;i<1e6;i++){p.a={};p=p.a}w.payload=o;return w}",
}


@pytest.mark.parametrize("name", GREEDY)
async def test_a_handler_that_wants_all_memory_does_not_get_it(impatient: Sandbox, name: str) -> None:
    await run(impatient, "function handler(w){return w}")
    (pid,) = child_ids()
    before = peak(pid)
    began = time.monotonic()

    error = await refused(impatient, GREEDY[name])

    assert error.code in ("MEMORY", "TIMEOUT")
    assert time.monotonic() - began < SOON
    # A process that has grown is replaced; one that has not must not have.
    assert peak(pid) - before < 64 * 1024 * 1024
    assert await run(impatient, "function handler(w){return w}") == {"name": "Ada", "n": 1}


def peak(pid: int) -> int:
    """Bytes of memory that a process has had at most; 0 when it is gone."""
    status = process_file(pid, "status").splitlines()
    return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")), 0)


REFUSED = {
    "function handler(w){throw new Error('no\\nname')}": ("THREW", "Error: no name (line 1)."),
    "function handler(w){\n  return w.missing.field }": ("THREW", "TypeError: cannot read property 'field' of undefined (line 2)."),
    "function handler(w){throw new Error('\\ud800')}": ("THREW", "something was thrown that holds half of a surrogate pair."),
    "function handler(w){throw 'x'.repeat(5e6)}": ("THREW", "x" * 300 + "."),
    "function handler(w){return JSON.parse('['.repeat(1e6))}": ("THREW", "RangeError: Maximum call stack size exceeded (line 1)."),
    "(function f(){f()})(); function handler(w){return w}": ("THREW", "RangeError: Maximum call stack size exceeded (line 1)."),
    "function handler(w){new ArrayBuffer(2**33)}": ("THREW", "RangeError: invalid array buffer length (line 1)."),
    "function handler(w){return 2n**100000000n}": ("THREW", "RangeError: BigInt is too large (line 1)."),
    "function handler(w){return import('fs')}": ("THREW", "ReferenceError: could not load module 'fs'."),
    "async function handler(w){return fetch('http://169.254.169.254/')}": ("THREW", "ReferenceError: fetch is not defined (line 1)."),
    "function handler(w){return w.constructor.constructor('return process')()}": ("THREW", "ReferenceError: process is not defined (line 1)."),
    "function handler(w){return require('fs')}": ("THREW", "ReferenceError: require is not defined (line 1)."),
    "function handler(w){Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0)}": ("THREW", "TypeError: cannot block in this thread (line 1)."),
    "function handler(w){\n\n  return w": ("SYNTAX", "SyntaxError: unexpected end of the code (line 3)."),
    "const handler = (w) => {\n  const a = ;\n}": ("SYNTAX", "SyntaxError: unexpected token in expression: ';' (line 2)."),
    "function handler(w){return w}\0": ("SYNTAX", "the code holds a NUL character."),
    "const handle = (w) => w;": ("NO_HANDLER", "the code has no function handler(webhook)."),
    "const handler = {a: 1};": ("NO_HANDLER", "the code has no function handler(webhook)."),
    "function handler(w){}": ("BAD_OUTPUT", "handler returned nothing instead of the webhook."),
    "function handler(w){return 1}": ("BAD_OUTPUT", "handler returned a number instead of the webhook."),
    "function handler(w){return null}": ("BAD_OUTPUT", "handler returned null instead of the webhook."),
    "function handler(w){return [w]}": ("BAD_OUTPUT", "handler returned a list instead of the webhook."),
    "function handler(w){return new Promise(()=>{})}": ("BAD_OUTPUT", "handler returned a promise that nothing settles."),
    "function handler(w){w.payload=w;return w}": ("BAD_OUTPUT", "TypeError: circular reference."),
    "function handler(w){w.payload={n:1n};return w}": ("BAD_OUTPUT", "TypeError: BigInt are forbidden in JSON.stringify."),
    "function handler(w){w.payload=()=>1;return w}": ("BAD_OUTPUT", "the payload that handler returned is not JSON: function."),
    "function handler(w){w.payload='text';return w}": ("BAD_OUTPUT", "The payload that handler returns is an object or a list."),
    "function handler(w){return globalThis}": ("BAD_OUTPUT", "the payload that handler returned is not JSON: undefined."),
    "Object.prototype.toJSON=()=>1;function handler(w){return w}": ("BAD_OUTPUT", "What handler returned is not a webhook."),
    "function handler(w){w.cancel='yes';return w}": ("BAD_OUTPUT", "cancel is true or false."),
    "function handler(w){w.method='CONNECT';return w}": ("BAD_OUTPUT", "method is POST or PUT."),
    "function handler(w){w.method='POST / HTTP/1.1\\r\\nHost: x';return w}": ("BAD_OUTPUT", "method is POST or PUT."),
    "function handler(w){w.url='file:///etc/passwd';return w}": (
        "BAD_OUTPUT", "url: A URL begins with http:// or https:// and a host, and has no fragment.",
    ),
    "function handler(w){w.url='http://169.254.169.254/';return w}": (
        "BAD_OUTPUT", "url: The URL leads to an address that is not open to webhooks; the operator may open it with GRAPHOOK_ALLOW_SUBNETS.",
    ),
    "function handler(w){w.url=7;return w}": ("BAD_OUTPUT", "url is a text."),
    "function handler(w){w.headers={x:1};return w}": ("BAD_OUTPUT", "headers is an object of texts."),
    "function handler(w){w.headers={x:'a\\r\\nb: c'};return w}": (
        "BAD_OUTPUT", "The header 'x' needs a value of at most 4096 printable ASCII characters, without blanks at its ends.",
    ),
    "function handler(w){w.headers={'webhook-signature':'v1,x'};return w}": (
        "BAD_OUTPUT", "The header 'webhook-signature' is set by the service or trusted by infrastructure, and cannot be customised.",
    ),
    "function handler(w){return {payload:{n:1e20}}}": (
        "BAD_OUTPUT", "The payload that handler returned cannot be sent. The JSON holds an integer beyond 64 bits; send it as a string.",
    ),
    "function handler(w){return {payload:{s:'x'.repeat(2e6)}}}": (
        "TOO_LARGE", f"The payload that handler returned has 2000008 bytes; {MAX_PAYLOAD} are allowed.",
    ),
    "function handler(w){return {payload:{s:'x'.repeat(5e6)}}}": ("TOO_LARGE", "What handler returned has more than 4194304 bytes."),
    "function handler(w){w.url='\u00e4'.repeat(3e6);return w}": ("TOO_LARGE", "What handler returned has more than 4194304 bytes."),
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
async def test_what_cannot_be_sent_is_refused_with_a_reason(sandbox: Sandbox, code: str) -> None:
    error = await refused(sandbox, code)
    assert (error.code, error.message) == REFUSED[code]


@pytest.mark.parametrize("depth", [200, 100_000])
async def test_a_payload_that_is_nested_too_deep_is_refused(sandbox: Sandbox, depth: int) -> None:
    code = f"function handler(w){{let o={{}};let p=o;for(let i=0;i<{depth};i++){{p.a={{}};p=p.a}}w.payload=o;return w}}"
    assert (await refused(sandbox, code)).code == "BAD_OUTPUT"


async def test_numbers_that_json_does_not_have_become_null_and_lone_surrogates_are_refused(sandbox: Sandbox) -> None:
    assert await run(sandbox, "function handler(w){w.payload={a:NaN,b:-Infinity,c:undefined};return w}") == {"a": None, "b": None}
    assert (await refused(sandbox, "function handler(w){w.payload={a:'\\ud800'};return w}")).code == "BAD_OUTPUT"


async def test_code_and_payload_have_their_limits(sandbox: Sandbox) -> None:
    code = "function handler(w){return w}"
    assert await run(sandbox, code + " " * (MAX_CODE - len(code))) == {"name": "Ada", "n": 1}
    assert (await refused(sandbox, code + " " * MAX_CODE)).code == "TOO_LARGE"
    assert (await refused(sandbox, "let a = 1")).code == "TOO_LARGE"
    assert (await refused(sandbox, code, payload=b'{"a":"' + b"x" * MAX_PAYLOAD + b'"}')).code == "TOO_LARGE"


async def test_a_payload_that_does_not_fit_into_memory_is_no_text_to_the_handler(sandbox: Sandbox) -> None:
    code = "function handler(w){return {payload: {kind: typeof w.payload}}}"
    many = b'{"l":[' + b",".join([b"{}"] * 340_000) + b"]}"
    assert (await refused(sandbox, code, payload=many)).code == "MEMORY"


async def test_nothing_stays_from_one_run_to_the_next(sandbox: Sandbox) -> None:
    """Neither within a tenant nor from one to another, in one and the same process."""
    spoil = """
        globalThis.kept = (globalThis.kept || 0) + 1; var once = 1; Array.prototype.kept = 1; Object.prototype.kept = 1;
        JSON.stringify = () => '{}'; JSON.parse = () => ({}); Promise.prototype.then = null; Error.prototype.toString = () => 'spoilt';
        function handler(webhook) { return {payload: {kept: globalThis.kept}} }"""
    look = "function handler(webhook) { return {payload: {kept: typeof kept, once: typeof once, list: typeof [].kept}} }"
    await run(sandbox, spoil)
    (pid,) = child_ids()

    assert await run(sandbox, spoil) == {"kept": 1}
    for tenant in ("app_1", "app_2"):
        assert await run(sandbox, look, tenant=tenant) == {"kept": "undefined", "once": "undefined", "list": "undefined"}
    assert child_ids() == [pid]


def namespace(pid: int) -> Path:
    """The network that a process is in."""
    return Path(f"/proc/{pid}/ns/net").readlink()


def assert_confined(pid: int) -> None:
    """Fail unless a process has one socket and nothing else."""
    files = {path.name: path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert files == {"0": files["1"], "1": files["1"], "2": Path("/dev/null")}
    assert files["0"].name.startswith("socket:")
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    limits = {line[:25].strip(): line[26:].split()[:2] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
    for name, limit in {"open files": 2, "processes": 0, "file size": 0, "core file size": 0}.items():
        assert limits[f"Max {name}"] == [str(limit)] * 2
    assert int(limits["Max address space"][1]) < 512 * 1024 * 1024
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
    assert "0" not in status["Uid"].split()


async def test_a_process_has_nothing_but_its_socket(sandbox: Sandbox) -> None:
    lacking = await sandbox.lacking()
    (pid,) = child_ids()
    assert_confined(pid)
    assert (namespace(pid) == namespace(os.getpid())) == ("network" in lacking)


async def test_what_the_system_refuses_a_process_is_told(sandbox: Sandbox) -> None:
    assert "limit" not in await sandbox.lacking()


async def test_a_process_that_dies_fails_its_call_only(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    start = sandbox_process.Child.start

    async def dying(memory: int, seconds: float) -> sandbox_process.Child:
        child = await start(memory, seconds)
        os.kill(child.pid, signal.SIGKILL)
        return child

    with monkeypatch.context() as patch:
        patch.setattr(sandbox_process.Child, "start", dying)
        assert (await refused(sandbox, "function handler(w){return w}")).code == "CRASHED"
    assert await run(sandbox, "function handler(w){return w}") == {"name": "Ada", "n": 1}


async def test_processes_that_died_while_nobody_used_them_fail_no_call(sandbox: Sandbox) -> None:
    await asyncio.gather(*(run(sandbox, "function handler(w){return w}", tenant=tenant) for tenant in "ab"))
    pids = child_ids()
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    for _ in range(2):
        assert await run(sandbox, "function handler(w){return w}") == {"name": "Ada", "n": 1}
    assert not set(pids) & set(child_ids())


async def test_a_process_that_was_kept_and_ends_at_the_next_call_is_replaced_within_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(sandbox, "function handler(w){return w}")
    (pid,) = child_ids()
    os.kill(pid, signal.SIGKILL)
    monkeypatch.setattr(sandbox._idle[0], "__class__", Unnoticed)

    assert await run(sandbox, "function handler(w){return w}") == {"name": "Ada", "n": 1}
    assert pid not in child_ids()


class Unnoticed(sandbox_process.Child):
    """A process that dies in the moment after somebody looked."""

    @property
    def ended(self) -> bool:
        return False


async def test_a_process_whose_start_is_given_up_at_once_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process itself is looked at: until the kernel has set up its arguments, nobody can tell from /proc whose it is."""
    started: list[subprocess.Popen[bytes]] = []
    start = sandbox_process._started

    def watched(*args: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args))
        return started[-1]

    monkeypatch.setattr(sandbox_process, "_started", watched)
    starting = asyncio.create_task(sandbox_process.Child.start(32 * 1024 * 1024, 0.5))
    await asyncio.sleep(0)
    (process,) = started
    assert process.returncode is None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process.returncode == -signal.SIGKILL


async def test_a_process_that_stands_still_is_killed_at_its_deadline(impatient: Sandbox) -> None:
    """The clock of the parent decides, whatever the engine thinks of the time."""
    await run(impatient, "function handler(w){return w}")
    (pid,) = child_ids()
    os.kill(pid, signal.SIGSTOP)

    assert (await refused(impatient, "function handler(w){return w}")).code == "TIMEOUT"
    assert await run(impatient, "function handler(w){return w}") == {"name": "Ada", "n": 1}
    assert pid not in child_ids()


async def test_an_answer_that_came_while_this_process_stood_still_is_in_time() -> None:
    sandbox = Sandbox(processes=1, seconds=1)
    code = "function handler(w){return w}"
    await run(sandbox, code)

    asked = asyncio.create_task(run(sandbox, code))
    await asyncio.sleep(0)
    time.sleep(CLOCK * 1 + 0.5)  # noqa: ASYNC251 - as a process does that is stopped

    assert await asked == {"name": "Ada", "n": 1}
    await sandbox.close()


async def test_a_process_makes_way_after_so_many_calls(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process, "CALLS", 3)
    pids: list[int] = []
    for _ in range(5):
        await run(sandbox, "function handler(w){return w}")
        pids += [pid for pid in child_ids() if pid not in pids]
    assert len(pids) >= 2


async def test_a_process_makes_way_after_so_much_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process, "SECONDS", 0.001)
    await run(sandbox, "function handler(w){let i=0;while(i<1e5)i++;return w}")
    assert sandbox._idle == []


async def test_a_call_that_is_given_up_does_not_answer_the_next_one(sandbox: Sandbox) -> None:
    call = asyncio.create_task(run(sandbox, "function handler(w){let i=0;while(i<1e7)i++;return {payload:{mine:1}}}"))
    await until(lambda: bool(child_ids()), "the call to be under way")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await run(sandbox, "function handler(w){return {payload:{yours:1}}}") == {"yours": 1}


async def test_one_tenant_cannot_have_every_process(impatient: Sandbox) -> None:
    """Whoever else has one thing to run does not wait for those of the busy one."""
    endless = [asyncio.create_task(refused(impatient, ENDLESS["loop"], tenant="busy")) for _ in range(4)]
    await asyncio.sleep(0)
    assert await run(impatient, "function handler(w){return w}", tenant="other") == {"name": "Ada", "n": 1}
    assert not all(task.done() for task in endless)
    assert [(await task).code for task in endless] == ["TIMEOUT"] * 4


async def test_tenants_that_wait_take_turns(sandbox: Sandbox) -> None:
    order: list[str] = []

    async def one(tenant: str) -> None:
        await run(sandbox, "function handler(w){let i=0;while(i<1e5)i++;return w}", tenant=tenant)
        order.append(tenant)

    await asyncio.gather(*(one("a") for _ in range(6)), *(one("b") for _ in range(6)), one("c"))
    assert order.index("c") < 6


async def test_one_tenant_cannot_close_the_sandbox_to_others(impatient: Sandbox) -> None:
    """However many calls of however many of its lines wait."""
    busy = [asyncio.create_task(refused(impatient, ENDLESS["loop"], tenant="busy", line=f"app_{number}")) for number in range(5000)]
    await asyncio.sleep(0)

    async with asyncio.timeout(SOON):
        others = [run(impatient, "function handler(w){return w}", tenant="other") for _ in range(3)]
        assert await asyncio.gather(*others) == [{"name": "Ada", "n": 1}] * 3

    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)


async def test_too_many_that_wait_are_refused(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox._turns, "_waiting_per_tenant", 1)
    calls = await asyncio.gather(*(run(sandbox, "function handler(w){return w}") for _ in range(3)), return_exceptions=True)
    codes = [call.code for call in calls if isinstance(call, TransformationError)]
    assert codes == ["UNAVAILABLE"]


async def test_what_cannot_be_started_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    broken = Sandbox()
    assert (await refused(broken, "function handler(w){return w}")).code == "UNAVAILABLE"
    await broken.close()


async def test_a_fault_of_the_sandbox_itself_is_told_as_a_call_that_crashed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise KeyError("ours")

    monkeypatch.setattr(sandbox, "_ready", broken)
    assert (await refused(sandbox, "function handler(w){return w}")).code == "CRASHED"


async def test_after_its_end_nothing_is_left_and_nothing_starts() -> None:
    ended = Sandbox()
    await run(ended, "function handler(w){return w}")
    await ended.close()
    assert child_ids() == []
    assert (await refused(ended, "function handler(w){return w}")).code == "UNAVAILABLE"


PARENT = """
import asyncio
from graphook.sandbox import Sandbox
from graphook.transformation import Webhook

async def main():
    sandbox = Sandbox(processes=1, seconds=60)
    await sandbox.lacking()
    print(sandbox._idle[0].pid, flush=True)
    await sandbox.transform("function handler(w){for(;;);}", Webhook("POST", "https://example.com/", b"{}", "a", {}), tenant="a")

asyncio.run(main())
"""


async def test_a_process_does_not_outlive_its_parent_whatever_it_runs() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    await until(lambda: int(process_file(pid, "stat").split()[13]) > 5, "the handler to use up time")

    parent.kill()
    await parent.communicate()

    await until(lambda: process_file(pid, "stat").split()[2:3] in ([], ["Z"]), "the process to be gone")


async def test_many_at_once_are_all_answered_with_their_own(sandbox: Sandbox) -> None:
    async def one(number: int) -> Mapping[str, int]:
        found: Mapping[str, int] = await run(
            sandbox, "function handler(w){return {payload:{n:w.payload.n}}}", orjson.dumps({"n": number}), tenant=f"app_{number % 7}"
        )
        return found

    assert await asyncio.gather(*(one(number) for number in range(200))) == [{"n": number} for number in range(200)]
