"""A program with a server in it: a job of its own runs beside the application, on the same event loop.

python examples/embedded.py, then ask http://127.0.0.1:8000/ (BIND says where to listen), until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import logging
import os

from fastapi import FastAPI

import aserve

log = logging.getLogger("example")
app = FastAPI()
ticks = 0


@app.get("/")
async def read() -> dict[str, int]:
    """Say how far the job is."""
    return {"ticks": ticks}


async def count() -> None:
    """The job: whatever the program is about."""
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep(0.01)


async def main() -> None:
    """Run both until a signal; running requests are finished."""
    server = aserve.Server(app, bind=os.environ.get("BIND") or "127.0.0.1:8000", graceful_timeout=10)
    job = asyncio.create_task(count())
    await server.serve(handle_signals=True)
    job.cancel()
    log.info("stopped after %d ticks", ticks)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(main())
    except aserve.UserError as error:
        raise SystemExit(f"error: {error}") from None
