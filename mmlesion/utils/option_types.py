"""Checks of the options of components by the types that their constructors are annotated with."""

from __future__ import annotations

import ast
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from .errors import OptionError

_LISTS = ('tuple', 'Tuple', 'list', 'List', 'Sequence')


def check_when_constructed(component: type) -> None:
    """Make a class check the types of its options before its constructor runs.

    A value must be of the type that the constructor is annotated with, or the default. Whole
    numbers count as float, lists as tuples, NaN as no number, and text as no list. Only types of
    Python's own, and those of configs, are checked.

    Args:
        component (type): The class, which is changed. Its constructor then raises
            :class:`OptionError`, which names the option and its value.
    """
    construct = component.__init__  # type: ignore[misc]
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError as error:  # an option too many, or one that is missing
            raise OptionError(str(error), self) from None
        for name, value in given.items():
            _check(self, signature.parameters[name], value)
        construct(self, *args, **kwargs)

    component.__init__ = __init__  # type: ignore[misc]


def _check(owner: object, option: inspect.Parameter, value: Any) -> None:
    variadic = option.kind in (option.VAR_POSITIONAL, option.VAR_KEYWORD)
    if variadic or option.annotation is option.empty or value is option.default:
        return
    wanted = option.annotation
    if not isinstance(wanted, str):  # of a package that does not postpone annotations
        wanted = inspect.formatannotation(wanted)
    if not _fits(value, _parse(wanted)):
        raise OptionError(f'{option.name} is {value!r:.80}: give {wanted}', owner)


@functools.cache
def _parse(annotation: str) -> ast.expr:
    # not evaluated: Python 3.9 knows no int | None, and names may be a type checker's alone
    return ast.parse(annotation, mode='eval').body


def _fits(value: Any, wanted: ast.expr) -> bool:
    """Return whether a value is of an annotated type, or of one that is not checked."""
    if isinstance(wanted, ast.BinOp):  # int | None
        return _fits(value, wanted.left) or _fits(value, wanted.right)
    if isinstance(wanted, ast.Subscript):
        return _fits_generic(value, _last_part(wanted.value), _arguments(wanted))
    check = _CHECKS.get(_last_part(wanted))
    return check is None or check(value)


def _last_part(name: ast.expr) -> str:
    return ast.unparse(name).rpartition('.')[2]


def _arguments(generic: ast.Subscript) -> list[ast.expr]:
    inner = generic.slice
    return inner.elts if isinstance(inner, ast.Tuple) else [inner]


def _fits_generic(value: Any, name: str, arguments: Sequence[ast.expr]) -> bool:
    if name == 'Union':
        return any(_fits(value, kind) for kind in arguments)
    if name == 'Optional':
        return value is None or _fits(value, arguments[0])
    if name not in _LISTS:
        check = _CHECKS.get(name)
        return check is None or check(value)
    if not _is_list(value):
        return False
    # of tuple[float, float] each has a type of its own; of the others all have the first
    if name in ('tuple', 'Tuple') and ast.unparse(arguments[-1]) != '...':
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    return all(_fits(one, arguments[0]) for one in value)


def _is_list(value: Any) -> bool:
    return hasattr(value, '__getitem__') and not isinstance(value, (str, Mapping))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _may_be_config(value: Any) -> bool:
    """Return whether a value is a dictionary, or what mmengine takes in place of one: a module."""
    return not (value is None or isinstance(value, (Real, str)) or _is_list(value))


_CHECKS: dict[str, Callable[[Any], bool]] = {
    'ConfigDict': _may_be_config,
    'None': lambda value: value is None,
    'NoneType': lambda value: value is None,
    'bool': lambda value: isinstance(value, bool),
    'dict': _may_be_config,
    'float': _is_number,
    'int': _is_whole,
    'str': lambda value: isinstance(value, str),
    **dict.fromkeys(_LISTS, _is_list),
}
