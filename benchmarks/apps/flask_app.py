"""A Flask application with a path parameter, a query parameter and a JSON answer."""

from flask import Flask, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)


@app.get("/items/<int:number>")
def item(number: int) -> ResponseReturnValue:
    """Return what was asked, as JSON."""
    return {"number": number, "q": request.args.get("q", ""), "name": "benchmark", "sizes": [1, 2, 3]}
