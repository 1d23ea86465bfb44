"""What the settings of another server are here: the same, something else, or nothing."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aserve.declaration import Option
from aserve.hooks import BY_NAME
from aserve.options import OPTIONS


class Kind(enum.Enum):
    """How a setting is met."""

    SAME = "same"
    MAPPED = "mapped"
    NOT_NEEDED = "not needed"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A setting of another server.

    Arguments: `name` is what its configuration files call it, and `flags` what its command line does;
    `takes` is what stands behind a flag: "value", "values" (the flag can be repeated), "maybe" (it can
    stand alone, for `alone`), or "nothing" (it stands for `alone`). `default` is the other server's;
    it and `harmless` are values that ask for nothing that would be missed here.
    `option` is what it is called here, if not the same; `values` are those that have another name here.
    `instead` says what to do in place of a flag that does not just have another name here.
    `read` makes of a value what the other server's files mean by it; it may return it as it is.
    `note` says what differs; `why` says what there is instead, or why it is missing, for as long as
    there is no option of the name. `always`: what it asks for is so in any case. `vital`: a file that
    asks for it is refused, since serving without it would do harm.
    """

    name: str
    flags: tuple[str, ...] = ()
    takes: str = "value"
    alone: object = True
    default: object = None
    harmless: tuple[object, ...] = ()
    option: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[object], object] = lambda value: value
    note: str = ""
    why: str = ""
    always: bool = False
    vital: bool = False

    @property
    def kind(self) -> Kind:
        """How it is met; computed from the options that there are."""
        if self.name in BY_NAME:
            return Kind.SAME
        if (option := self.met_by) is not None:
            same = self.name in (option.name, option.gunicorn) and not self.values
            return Kind.SAME if same else Kind.MAPPED
        return Kind.NOT_NEEDED if self.always else Kind.NOT_SUPPORTED

    @property
    def met_by(self) -> Option | None:
        """The option that stands for it, if there is one."""
        return _OPTIONS.get(self.option or self.name)

    def asks_for_nothing(self, value: object) -> bool:
        """Is `value` one that can be left out without a difference?"""
        return value is None or any(
            value == known and type(value) is type(known) for known in (self.default, *self.harmless)
        )

    def does_harm(self, value: object) -> bool:
        """Must nothing be served where a file asks for this?"""
        return self.vital and self.kind is Kind.NOT_SUPPORTED and not self.asks_for_nothing(value)

    def translated(self, value: object) -> object:
        """Return the value as it is called here."""
        return self.values.get(value, value) if isinstance(value, str) else value


_OPTIONS: Final = {name: option for option in OPTIONS for name in (option.name, option.gunicorn)}


def by_flag(table: Iterable[Foreign]) -> dict[str, Foreign]:
    """Return the entries of a table by each of their flags."""
    return {flag: entry for entry in table for flag in entry.flags}
