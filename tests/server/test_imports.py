"""Which way imports point: server -> adapters -> protocols, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import aserve

ROOT = Path(aserve.__file__).parent
LAYERS = ("protocols", "adapters", "server")
"""The lowest first: each may import from itself and from those before it."""

# What is a layer's own business; no other may touch it.
OWN = {
    "protocols": {"httptools", "h11"},
    "adapters": {"tornado"},
    "server": {"click", "uvloop"},
}
FORBIDDEN = {
    # Pure protocol code: no applications, processes, or configuration.
    "protocols": {"importlib", "multiprocessing", "signal", "subprocess", "threading"},
    "adapters": {"multiprocessing", "signal", "socket", "subprocess"},
}


def layer_of(file: Path) -> str:
    folder = file.relative_to(ROOT).parts[0]
    return folder if folder in LAYERS else "server"


def layer_of_module(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "server"


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for every import in `file`, also inside functions and for types only."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            assert node.module is not None
            # `from aserve import protocols` imports a module as well
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}" if node.module == "aserve" else node.module


FILES = sorted(ROOT.rglob("*.py"))


def test_all_layers_are_there() -> None:
    assert {layer_of(file) for file in FILES} == set(LAYERS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    layer = layer_of(file)
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    for line, name in imported(file):
        package = name.split(".")[0]
        assert package not in LAYERS, f"{file}:{line}: {name} is aserve.{name}"
        if package == "aserve" and layer != "server":
            assert name != "aserve", f"{file}:{line}: {layer} imports the server"
            assert layer_of_module(name) in allowed, f"{file}:{line}: {layer} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_layer_minds_its_own_business(file: Path) -> None:
    layer = layer_of(file)
    foreign = {name for other, names in OWN.items() if other != layer for name in names}
    for line, name in imported(file):
        package = name.split(".")[0]
        assert package not in foreign, f"{file}:{line}: {layer} imports {name}"
        assert package not in FORBIDDEN.get(layer, ()), f"{file}:{line}: {layer} imports {name}"


# What gevent and eventlet replace: where the loop runs, it has to be taken by name, before they do
# (aserve.protocols.threads). What only runs in the supervisor, or before the application is loaded, need not.
REPLACED = {
    "os": {
        *("close", "fdopen", "fork", "forkpty", "open", "posix_spawn", "posix_spawnp", "read", "wait"),
        *("waitpid", "write"),
    },
    "queue": {"LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"},
    "select": {"devpoll", "epoll", "kqueue", "poll", "select"},
    "selectors": {"DefaultSelector", "EpollSelector", "KqueueSelector", "PollSelector", "SelectSelector"},
    "socket": {"create_connection", "fromfd", "getaddrinfo", "gethostbyname", "socket", "socketpair"},
    "ssl": {"SSLContext", "SSLSocket"},
    "subprocess": {"Popen", "call", "check_call", "check_output", "run"},
    "threading": {"Condition", "Event", "Lock", "RLock", "Semaphore", "Thread", "Timer", "local"},
    "time": {"sleep"},
}
BESIDE_GREENLETS = (
    *(file for file in FILES if layer_of(file) != "server" and file.name != "pool.py"),
    *(
        ROOT / f"{name}.py"
        for name in (
            *("accesslog", "listeners", "logformat", "logs", "loops", "messages", "processes", "recycling"),
            *("service", "sharedpage", "signals", "titles", "worker"),
        )
    ),
)
ALLOWED = {
    ("messages.py", "socket.socketpair"),  # in the supervisor
    ("processes.py", "os.fork"),  # in the supervisor and the mold
}


@pytest.mark.parametrize("file", BESIDE_GREENLETS, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_loop_keeps_to_what_libraries_of_greenlets_leave_alone(file: Path) -> None:
    tree = ast.parse(file.read_text())
    annotations = {
        id(inner)
        for node in ast.walk(tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if annotation is not None
        for inner in ast.walk(annotation)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and id(node) not in annotations
        ):
            name = f"{node.value.id}.{node.attr}"
            assert node.attr != "accept", (
                f"{file}:{node.lineno}: it makes what `socket.socket` stands for then"
            )
            if node.attr in REPLACED.get(node.value.id, ()) and (file.name, name) not in ALLOWED:
                pytest.fail(f"{file}:{node.lineno}: {name}: import it by name")
