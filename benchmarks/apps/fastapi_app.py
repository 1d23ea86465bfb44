"""A FastAPI application with a path parameter, a query parameter and a JSON answer."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/items/{number}")
async def item(number: int, q: str = "") -> dict[str, int | str | list[int]]:
    """Return what was asked, as JSON."""
    return {"number": number, "q": q, "name": "benchmark", "sizes": [1, 2, 3]}
