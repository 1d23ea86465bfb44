"""What gunicorn serves with, and we would refuse: settings of its files that are changed, with a warning."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from aserve import workerclasses
from aserve.adapters import GREENLETS

if TYPE_CHECKING:
    from aserve.config import Given


def make(given: dict[str, Given], own: Collection[str]) -> Iterator[str]:
    """Change settings in `given`, which are by name, and yield a line for each.

    Arguments: `own` are the names of those that have not come by way of gunicorn's.
    """
    if "preload_app" not in own:
        yield from _without_preload(given)
    if "access_log_format" not in own:
        yield from _without_unknown_atoms(given)


def _without_preload(given: dict[str, Given]) -> Iterator[str]:
    worker_class, preload = given.get("worker_class"), given.get("preload_app")
    meaning = workerclasses.known(worker_class.value) if worker_class is not None else None
    if meaning is None or meaning.name not in GREENLETS or preload is None:
        return
    try:
        if not preload.option.parse(preload.value):
            return
    except ValueError:  # it is told with all other mistakes
        return
    del given["preload_app"]
    yield (
        f"{preload.source} has no effect with {meaning.name}: each worker imports the application, "
        "since what that makes of its locks and sockets belongs to the process that imports"
    )


def _without_unknown_atoms(given: dict[str, Given]) -> Iterator[str]:
    """gunicorn writes `-` for them, such as for %(asctime)s, which is logging's."""
    entry = given.get("access_log_format")
    if entry is None or not isinstance(entry.value, str):
        return
    from aserve import logformat

    text, unknown = logformat.without_unknown_atoms(entry.value)
    if unknown:
        given["access_log_format"] = entry._replace(value=text)
        named = ", ".join(unknown)
        yield f"{entry.source}: {named}: no such atoms, '-' stands for them: docs/access-log.md lists them"
