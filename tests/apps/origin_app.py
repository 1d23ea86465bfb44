"""The same small application on FastAPI and on Flask, for who is behind a proxy.

It says where a request seems to come from, and takes large bodies without an answer before their end.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import FastAPI, Request
from flask import Flask
from flask import request as flask_request
from starlette.requests import ClientDisconnect

from .shared import journal

fast = FastAPI()
flask = Flask(__name__)


@fast.get("/origin", name="origin")
async def fast_origin(request: Request) -> dict[str, Any]:
    return {
        "client": request.client and [request.client.host, request.client.port],
        "server": request.scope["server"],
        "url": str(request.url),
        "link": str(request.url_for("origin")),
        "root": request.scope["root_path"],
        "host": request.headers["host"],
        "forwarded": request.headers.get("x-forwarded-for"),
    }


@fast.post("/consume/{key}")
async def fast_consume(request: Request, key: str) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    try:
        async for data in request.stream():
            if data and not size:
                journal.note(f"begun-{key}")
            digest.update(data)
            size += len(data)
    except ClientDisconnect:
        journal.note(key)
        raise
    return {"size": size, "sha256": digest.hexdigest()}


@fast.get("/journal/{name}")
async def fast_journal(name: str) -> list[str]:
    return await journal.wait_async(name)


@flask.get("/origin")
def origin() -> dict[str, Any]:
    environ = flask_request.environ
    return {
        "client": [environ["REMOTE_ADDR"], int(environ.get("REMOTE_PORT", 0))],
        "server": [environ["SERVER_NAME"], int(environ["SERVER_PORT"])],
        "url": flask_request.url,
        "link": flask_request.url_root.rstrip("/") + "/origin",
        "root": flask_request.script_root,
        "host": flask_request.host,
        "forwarded": flask_request.headers.get("x-forwarded-for"),
    }


@flask.post("/consume/<key>")
def consume(key: str) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    try:
        while data := flask_request.stream.read(1 << 16):
            if not size:
                journal.note(f"begun-{key}")
            digest.update(data)
            size += len(data)
    except OSError:
        journal.note(key)  # Flask would log it
    return {"size": size, "sha256": digest.hexdigest()}


@flask.get("/journal/<name>")
def wait(name: str) -> list[str]:
    return journal.wait(name)
