"""Configuration files that are programs in Python: found, executed, and their failures explained."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

from aserve.hooks import summary
from aserve.origin import origin
from aserve.settingsource import ConfigFileError, Source

_MODULE_NAME: Final = "__config__"
"""What a file is called among the modules, as in gunicorn."""


class PythonSource(Source):
    """A program; `package` is the top-level package that it is a part of, if it is named as a module."""

    package = ""

    def execute(self) -> ModuleType:
        """Execute it and return its module. Raises ConfigFileError, or whatever its code does."""
        raise NotImplementedError

    def explained(self, error: BaseException) -> ConfigFileError:
        """Return what the code has raised as one line with file and line."""
        return _explained(error, self)

    def lines(self) -> Mapping[str, int]:
        """Return where each name was last given a value."""
        return _lines(self.text)


class PythonFile(PythonSource):
    """A file; `path` is relative to the folder that the server was started in."""

    def __init__(self, path: str) -> None:
        if not path:
            raise ConfigFileError("--config: no file is named: write its path, such as gunicorn.conf.py")
        super().__init__(path, os.path.join(origin().folder, path))

    def execute(self) -> ModuleType:
        """Execute it as a module of its own, whatever was compiled of it before."""
        self.read()
        module = ModuleType(_MODULE_NAME)
        module.__file__ = self.path
        sys.modules[_MODULE_NAME] = module  # as for any import; data classes and pickle look there
        # Not by the import system: that might take compiled code of a moment ago for that of this one.
        exec(compile(self.text, self.path, "exec", dont_inherit=True), vars(module))
        return module


class PythonModule(PythonSource):
    """A module, by its dotted name."""

    def __init__(self, module: str) -> None:
        super().__init__(module, "")
        self.package = module.partition(".")[0]

    def execute(self) -> ModuleType:
        """Import it."""
        try:
            spec = importlib.util.find_spec(self.name)
        except ModuleNotFoundError as error:
            if error.name is None or not (self.name + ".").startswith(error.name + "."):
                raise
            spec = None
        except ValueError:  # such as an empty name
            spec = None
        if spec is None:
            raise ConfigFileError(
                f"--config: there is no module {self.name!r}: write python: and the name of one that can be "
                "imported"
            )
        if spec.origin is not None and spec.has_location:
            self.path = spec.origin
            self.text = Path(spec.origin).read_bytes()
        return importlib.import_module(self.name)


def _explained(error: BaseException, source: PythonSource) -> ConfigFileError:
    if isinstance(error, SyntaxError) and error.filename == source.path:
        text = f": {error.text.strip()!r}" if error.text and error.text.strip() else ""
        return ConfigFileError(f"{source.place(error.lineno)}: {type(error).__name__}: {error.msg}{text}")
    line, frames = None, error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == source.path:
            line = frames.tb_lineno
        frames = frames.tb_next
    return ConfigFileError(f"{source.place(line)}: {summary(error)}", error)


def _lines(source: bytes) -> dict[str, int]:
    """Return where each name of a module was last given a value."""
    lines: dict[str, int] = {}
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            _note(lines, node.name, node.lineno)
            continue  # what is inside has other names
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            _note(lines, node.id, node.lineno)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                _note(lines, (alias.asname or alias.name).partition(".")[0], node.lineno)
        pending += ast.iter_child_nodes(node)
    return lines


def _note(lines: dict[str, int], name: str, line: int) -> None:
    lines[name] = max(line, lines.get(name, 0))
