"""etcd's other clients, on keys of their own beside each other's.

What is not equal: bare keys have no parents, no owner and no times in their values; the bare cycle
is the least there is (one key with a lease, put if it is absent, then deleted), waits for nobody
and notices nothing. aetcd's lock opens a lease each time.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.coordination_rounds import KEYS, VALUE, Spent, Turn, by_callers
from tests.bench.coordination_sides import CREATE, LOCK, READ, Client

__all__ = ("AETCD", "STUBS", "peers")

STUBS, AETCD = "grpc.aio stubs", "aetcd"
INTERPRETER = "ASYNCBACKENDS_BENCH_AETCD"
"""Names a Python that has aetcd: it cannot live in one process with etcetra's stubs."""
WORKER = Path(__file__).with_name("etcd_elsewhere.py")

# They have no types.
aio: Any = import_module("grpc.aio")
rpc: Any = import_module("etcetra.grpc_api.rpc_pb2")
stubs: Any = import_module("etcetra.grpc_api.rpc_pb2_grpc")


@asynccontextmanager
async def peers(endpoint: str) -> AsyncGenerator[Mapping[str, Client]]:
    """Open the clients, the bare stubs first."""
    async with AsyncExitStack() as stack:
        clients = {STUBS: await stack.enter_async_context(_stubs(endpoint))}
        if python := os.environ.get(INTERPRETER):
            clients[AETCD] = await stack.enter_async_context(_aetcd(python, endpoint))
        else:
            print(f"aetcd is left out: {INTERPRETER} names no interpreter that has it")
        yield clients


@asynccontextmanager
async def _stubs(endpoint: str) -> AsyncGenerator[Client]:
    async with aio.insecure_channel(endpoint) as channel:
        keys = stubs.KVStub(channel)
        lease = (await stubs.LeaseStub(channel).LeaseGrant(rpc.LeaseGrantRequest(TTL=600))).ID

        def put_if_absent(key: bytes, lease: int = 0) -> Any:
            absent = rpc.Compare(
                result=rpc.Compare.EQUAL,
                target=rpc.Compare.CREATE,
                key=key,
                create_revision=0,
            )
            put = rpc.PutRequest(key=key, value=VALUE, lease=lease)
            return keys.Txn(
                rpc.TxnRequest(compare=[absent], success=[rpc.RequestOp(request_put=put)])
            )

        async def put_and_delete(number: int) -> None:
            await put_if_absent(b"/stubs/lock", lease)
            await keys.DeleteRange(rpc.DeleteRangeRequest(key=b"/stubs/lock"))

        for number in range(KEYS):
            await put_if_absent(b"/stubs/read/%d" % number)
        yield {
            READ: by_callers(
                lambda number: keys.Range(rpc.RangeRequest(key=b"/stubs/read/%d" % (number % KEYS)))
            ),
            CREATE: by_callers(lambda number: put_if_absent(b"/stubs/made/%d" % number)),
            LOCK: by_callers(put_and_delete),
        }


@asynccontextmanager
async def _aetcd(python: str, endpoint: str) -> AsyncGenerator[Client]:
    worker = await asyncio.create_subprocess_exec(
        *(python, str(WORKER), endpoint, str(KEYS), VALUE.decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _answer(worker)
        yield {operation: _elsewhere(worker, operation) for operation in (READ, CREATE, LOCK)}
    finally:
        if worker.stdin is not None:
            worker.stdin.close()
        await worker.wait()


def _elsewhere(worker: asyncio.subprocess.Process, operation: str) -> Turn:
    async def turn(numbers: Sequence[int], at_once: int) -> Spent:
        assert worker.stdin is not None
        asked = json.dumps([operation, numbers[0], len(numbers), at_once])
        worker.stdin.write(f"{asked}\n".encode())
        wall, cpu = json.loads(await _answer(worker))
        return Spent(wall, cpu)

    return turn


async def _answer(worker: asyncio.subprocess.Process) -> bytes:
    assert worker.stdout is not None
    line = await worker.stdout.readline()
    if not line:
        raise RuntimeError("the interpreter with aetcd has ended")
    return line
