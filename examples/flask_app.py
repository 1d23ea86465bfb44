"""A Flask application: `aserve --chdir examples flask_app:app`."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/")
def hello() -> dict[str, str]:
    return {"message": "Hello from Flask, served by aserve"}


@app.get("/items/<int:item>")
def item(item: int) -> dict[str, int | str | None]:
    return {"item": item, "q": request.args.get("q")}


@app.get("/count")
def count() -> Response:
    to = request.args.get("to", 10, type=int)

    def lines() -> Iterator[str]:
        for number in range(1, min(to, 1000) + 1):
            yield f"{number}\n"

    return Response(lines(), mimetype="text/plain")
