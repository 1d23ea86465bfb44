"""What there is to say of an option, and how a field of the settings says it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

__all__ = ["ENVIRONMENT_PREFIX", "Declared", "Option", "declared", "option"]

ENVIRONMENT_PREFIX: Final = "ASERVE_"


class Option(NamedTuple):
    """What there is to say of one setting.

    Arguments: `name` is the field of `Settings`; `flags` are its spellings on the command line
    (none: it is the argument); `parse` turns a given value into the field's value or raises
    ValueError; `metavar` stands for the value in the help (empty: a flag without a value); `help`
    is a few sentences; `default_text` says what holds when nothing is given; `multiple` may be
    given more than once; `alone` is the value of a flag that stands without one (empty: it must
    not); `extra_environment` are well-known variables besides ours, which win over them, each with
    a template for the value; `gunicorn` is its name in gunicorn's configuration files, `elsewhere`
    what the command lines of other servers call it.
    """

    name: str
    flags: tuple[str, ...]
    section: str
    help: str
    parse: Callable[[object], object]
    metavar: str
    default_text: str
    multiple: bool
    alone: str
    extra_environment: tuple[tuple[str, str], ...]
    gunicorn: str
    elsewhere: tuple[str, ...]

    @classmethod
    def of(cls, field: dataclasses.Field[Any]) -> Self:
        """Return the option that a field, declared with `option`, stands for."""
        return cls(
            name=field.name, **{**field.metadata, "gunicorn": field.metadata["gunicorn"] or field.name}
        )

    @property
    def is_flag(self) -> bool:
        """Is it given without a value?"""
        return not self.metavar

    @property
    def environment(self) -> str:
        """Our own environment variable for it."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def label(self) -> str:
        """How messages call it: its first long flag, or the argument's name."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.metavar)


def option(
    *flags: str,
    section: str,
    help: str,
    parse: Callable[[object], object],
    metavar: str = "",
    default: object = None,
    default_factory: Callable[[], object] | None = None,
    default_text: str | None = None,
    multiple: bool = False,
    alone: str = "",
    extra_environment: tuple[tuple[str, str], ...] = (),
    gunicorn: str = "",
    elsewhere: tuple[str, ...] = (),
) -> Any:
    """Declare a field of `Settings`, see `Option`; `gunicorn` is by default the field's own name."""
    details = {
        "flags": flags,
        "section": section,
        "help": help,
        "parse": parse,
        "metavar": metavar,
        "default_text": str(default) if default_text is None else default_text,
        "multiple": multiple,
        "alone": alone,
        "extra_environment": extra_environment,
        "gunicorn": gunicorn,
        "elsewhere": elsewhere,
    }
    if default_factory is not None:
        return dataclasses.field(default_factory=default_factory, metadata=details)
    return dataclasses.field(default=default, metadata=details)


class Declared:
    """The root of `Settings` and of its parts: frozen, and made by keyword from the fields that they declare.

    It does what methods do that `dataclasses` generates. To compile those for a hundred fields takes a
    twentieth of a server's start.
    """

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init__(self, **values: Any) -> None:
        known = self.__dataclass_fields__
        if unknown := values.keys() - known:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        for name, field in known.items():
            if name not in values:
                values[name] = _default(field)
        vars(self).update(values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name)
            for name, field in self.__dataclass_fields__.items()
            if field.compare
        )

    __hash__ = None  # type: ignore[assignment]  # some values cannot be hashed

    def __repr__(self) -> str:
        shown = (name for name, field in self.__dataclass_fields__.items() if field.repr)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


if TYPE_CHECKING:
    from dataclasses import dataclass as declared
else:

    def declared(**_):
        """Make a dataclass of a `Declared`, without the methods; the arguments are for type checkers."""
        return dataclasses.dataclass(init=False, repr=False, eq=False)


def _default(field: dataclasses.Field[Any]) -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
