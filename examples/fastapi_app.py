"""A FastAPI application: `aserve --chdir examples fastapi_app:app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


class State(TypedDict):
    greeting: str


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[State]:
    yield {"greeting": "Hello"}


app = FastAPI(title="aserve example", lifespan=lifespan)


@app.get("/")
async def hello(request: Request) -> dict[str, str]:
    return {"message": f"{request.state.greeting} from FastAPI, served by aserve"}


@app.get("/items/{item}")
async def item(item: int, q: str | None = None) -> dict[str, int | str | None]:
    return {"item": item, "q": q}


@app.get("/count")
async def count(to: int = 10) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(1, min(to, 1000) + 1):
            yield f"{number}\n"

    return StreamingResponse(lines(), media_type="text/plain")
