"""Start and stop servers again and again, and write down what the process holds: run by test_leaks.py.

python leaks.py ROUNDS: writes a JSON object with a list for each thing that is counted, a number per round.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI, WebSocket

import aserve
from tests.embedding.apps import ask
from tests.support.footprint import resident
from tests.support.websocket import WebSocketClient

ANY = "127.0.0.1:0"

api = FastAPI()


@api.get("/")
async def read() -> dict[str, str]:
    return {"from": "FastAPI"}


@api.websocket("/ws")
async def talk(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"from WSGI"]


async def once() -> None:
    async with aserve.Server(api, bind=ANY) as one, aserve.Server(wsgi, bind=ANY, threads=2) as two:
        assert (await ask(one.port)).json() == {"from": "FastAPI"}
        assert (await ask(two.port)).body == b"from WSGI"
        async with WebSocketClient(("127.0.0.1", one.port)) as client:
            await client.open("/ws")
            assert await client.ask_text("again") == "again"
            await one.stop(at_once=True)
            client.abandon()
    with aserve.Server(wsgi, bind=ANY, threads=2).in_thread() as thread:
        assert (await ask(thread.port)).body == b"from WSGI"


async def main(rounds: int) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {}
    for _ in range(rounds):
        await once()
        gc.collect()
        held = {
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "objects": len(gc.get_objects()),
            "memory": resident(os.getpid()),
        }
        for name, count in held.items():
            counts.setdefault(name, []).append(count)
    return counts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1])))))
