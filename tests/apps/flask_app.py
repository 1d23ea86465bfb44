"""The common routes on Flask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from flask import Flask, Response, g, jsonify, redirect, request, send_file
from flask.typing import ResponseReturnValue

from .shared import DeliberateError, block, journal

app = Flask(__name__)


@app.get("/")
def root() -> ResponseReturnValue:
    return Response("hello", mimetype="text/plain")


@app.get("/json")
def get_json() -> ResponseReturnValue:
    return {"hello": "world"}


@app.post("/json")
def post_json() -> ResponseReturnValue:
    return jsonify(request.get_json())


@app.post("/form")
def form() -> ResponseReturnValue:
    return request.form.to_dict()


@app.post("/upload")
def upload() -> ResponseReturnValue:
    file = request.files["file"]
    digest, size = hashlib.sha256(), 0
    while data := file.stream.read(1 << 20):
        digest.update(data)
        size += len(data)
    return {
        "name": file.filename,
        "type": file.mimetype,
        "note": request.form["note"],
        "size": size,
        "sha256": digest.hexdigest(),
    }


@app.post("/echo")
def echo() -> ResponseReturnValue:
    source = request.stream

    def blocks() -> Iterator[bytes]:
        while data := source.read(1 << 16):
            yield data

    return Response(blocks(), mimetype="application/octet-stream")


@app.get("/stream")
def stream() -> ResponseReturnValue:
    count, size = int(request.args["count"]), int(request.args["size"])
    blocks = (block(size, number) for number in range(count))
    return Response(blocks, mimetype="application/octet-stream")


@app.get("/steps/<key>")
def steps(key: str) -> ResponseReturnValue:
    def lines() -> Iterator[str]:
        yield "first\n"
        journal.wait(f"go-{key}")
        yield "second\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/endless/<key>")
def endless(key: str) -> ResponseReturnValue:
    def blocks() -> Iterator[bytes]:
        try:
            while True:
                yield block(1 << 16)
        finally:
            journal.note(f"closed-{key}")

    return Response(blocks(), mimetype="application/octet-stream")


@app.get("/cookies")
def cookies() -> ResponseReturnValue:
    response = jsonify(request.cookies)
    response.set_cookie("first", "1")
    response.set_cookie("second", "two words", httponly=True)
    return response


@app.get("/redirect")
def redirects() -> ResponseReturnValue:
    return redirect("/json")


@app.get("/headers")
def headers() -> ResponseReturnValue:
    return jsonify([(name.lower(), value) for name, value in request.headers.items()])


@app.get("/large-header")
def large_header() -> ResponseReturnValue:
    return "ok", {"X-Large": "x" * int(request.args["size"])}


@app.get("/error")
def error() -> ResponseReturnValue:
    raise DeliberateError("before the response")


@app.get("/error-midway")
def error_midway() -> ResponseReturnValue:
    def blocks() -> Iterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    return Response(blocks())


@app.post("/background/<key>")
def background(key: str) -> ResponseReturnValue:
    """What WSGI has for it: work when the response has been sent and is closed."""
    response = Response("accepted", status=202, mimetype="text/plain")

    def work() -> None:
        journal.wait(f"go-{key}")
        journal.note(f"done-{key}")

    response.call_on_close(work)
    return response


@app.get("/nothing")
def nothing() -> ResponseReturnValue:
    return "", 204


@app.get("/not-modified")
def not_modified() -> ResponseReturnValue:
    return "", 304, {"ETag": '"same"'}


@app.get("/where")
def where() -> ResponseReturnValue:
    return {
        "path": request.root_path + request.path,
        "root": request.root_path,
        "query": request.query_string.decode(),
        "scheme": request.scheme,
        "link": request.host_url.rstrip("/") + request.script_root + "/where",
        "secure": request.is_secure,
        "host": request.host,
        "client": request.remote_addr,
    }


@app.get("/file")
def file() -> ResponseReturnValue:
    """With ranges, and If-Range, by Werkzeug."""
    return send_file(request.args["path"], mimetype="application/octet-stream", conditional=True)


@app.get("/early")
def early() -> ResponseReturnValue:
    request.environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    return "hinted"


@app.get("/context")
def context() -> ResponseReturnValue:
    seen = getattr(g, "mine", None)
    g.mine = True
    return {"leaked": seen}


@app.get("/journal/<name>")
def read_journal(name: str) -> ResponseReturnValue:
    return jsonify(journal.wait(name, int(request.args.get("count", "1"))))


@app.post("/journal/<name>")
def write_journal(name: str) -> ResponseReturnValue:
    journal.note(name)
    return "noted"
