"""Finding the application that the command line names."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

from aserve.adapters.failures import one_line

_NAMES = ("application", "app")

# Packages that an application of their kind imports, and that an extra of ours brings.
_EXTRAS = ("tornado",)


class ApplicationLoadError(Exception):
    """The application cannot be loaded.

    cause: what the application's own code raised, if it was that; its traceback is the user's.
    """

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


def load_application(spec: str, factory: bool = False) -> Any:
    """Import and return the application.

    spec: `module:attribute` (the attribute may have dots), `module:factory()`, also with plain values
    as arguments, or `module` alone for its `application` or `app`. factory: call what was found, without
    arguments.
    Raises `ApplicationLoadError` with a message for the user.
    """
    module_name, colon, attribute = spec.strip().partition(":")
    if not module_name or (colon and not attribute):
        raise ApplicationLoadError(
            f"{spec!r} does not name an application: write MODULE:ATTRIBUTE, for example main:app"
        )
    if module_name.endswith(".py") or "/" in module_name:
        suggestion = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise ApplicationLoadError(
            f"{module_name!r} is a path, not a module: write {suggestion}:{attribute or 'app'}"
        )
    called = "(" in attribute
    name, arguments, keywords = _read_call(attribute, spec) if called else (attribute, (), {})
    module = _import(module_name)
    app = _find(module, module_name, name)
    if factory or called:
        app = _call(app, spec, *arguments, **keywords)
    return app


def given_application(app: Any, factory: bool = False) -> Any:
    """Return the application that a program has at hand: `app`, or with `factory` what it returns.

    Raises `ApplicationLoadError`.
    """
    return _call(app, getattr(app, "__qualname__", type(app).__qualname__)) if factory else app


def _read_call(text: str, spec: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return what a call such as `create_app('production', debug=False)` names, and its arguments."""
    if text.endswith("()"):
        return text.removesuffix("()"), (), {}
    import ast  # for the few that have arguments

    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not all(each.arg for each in call.keywords):
            raise ValueError
        arguments = tuple(map(ast.literal_eval, call.args))
        keywords = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError):
        raise ApplicationLoadError(
            f"{spec!r} is no call of a factory with plain values: write MODULE:FACTORY(), or one as in "
            "main:create_app('production')"
        ) from None
    return ast.unparse(call.func), arguments, keywords


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ApplicationLoadError(
                f"no module named {error.name!r} (looked in {sys.path[0] or '.'!r} and the Python path): "
                "check the name, or use --chdir or --pythonpath"
            ) from None
        if error.name in _EXTRAS:
            advice = f"pip install 'aserve-server[{error.name}]'"
        else:
            advice = f"is it installed for {sys.executable}?"
        raise ApplicationLoadError(f"importing {name!r} failed: {error}: {advice}", error) from error
    except (Exception, SystemExit) as error:
        raise ApplicationLoadError(f"importing {name!r} failed: {one_line(error)}", error) from error


def _find(module: Any, name: str, attribute: str) -> Any:
    if not attribute:
        for candidate in _NAMES:
            try:
                return _get(module, candidate)
            except AttributeError:
                pass
        advice = _shadowed(name) or f"name it, {name}:ATTRIBUTE"
        raise ApplicationLoadError(f"module {name!r} has neither 'application' nor 'app': {advice}")
    found = module
    for part in attribute.split("."):
        try:
            found = _get(found, part)
        except AttributeError:
            advice = _shadowed(name) or _nearest(module, attribute)
            raise ApplicationLoadError(f"module {name!r} has no attribute {attribute!r}: {advice}") from None
    return found


def _get(owner: Any, name: str) -> Any:
    """The attribute; raises AttributeError only if there is none. It may be made when it is asked for."""
    try:
        return getattr(owner, name)
    except (Exception, SystemExit) as error:
        if isinstance(error, AttributeError) and error.name in (None, name):
            raise
        raise ApplicationLoadError(f"looking up {name!r} failed: {one_line(error)}", error) from error


def _shadowed(name: str) -> str:
    """What to do when Python's own module was imported, as the server needs many of them."""
    is_pythons = name.partition(".")[0] in sys.stdlib_module_names
    return "this is Python's own module of that name, rename yours" if is_pythons else ""


def _nearest(module: Any, attribute: str) -> str:
    import difflib

    names = [name for name in vars(module) if not name.startswith("_")]
    close = difflib.get_close_matches(attribute.partition(".")[0], names, 1)
    return f"did you mean {close[0]!r}?" if close else "name the application's variable behind the colon"


def _call(app: Any, spec: str, *arguments: Any, **keywords: Any) -> Any:
    if not callable(app):
        raise ApplicationLoadError(f"{spec!r} is not callable, so it is no application factory")
    try:
        made = app(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        raise ApplicationLoadError(
            f"the application factory {spec!r} failed: {one_line(error)}", error
        ) from error
    if inspect.iscoroutine(made):
        made.close()
        raise ApplicationLoadError(
            f"the application factory {spec!r} is async: make it a plain function, and await in the lifespan"
        )
    return made
