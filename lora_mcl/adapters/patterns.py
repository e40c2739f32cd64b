"""Regular expressions that select modules by name: only those are taken that match in bounded time.

Python's `re` backtracks, so an expression such as `(a+)+$` takes time that doubles with every letter of a name. The
bound is on the number of ways in which an expression can be laid over a name, from its parse tree.
"""

import math
import re
from collections.abc import Iterable, Iterator
from re import _constants as codes
from re import _parser as parser
from typing import Any

from lora_mcl.errors import OptionsError

MAX_WAYS = 2**22
"""Enough for three repeats and some alternatives."""

_LENGTH = 64
"""Of a module's name: the ways in which one repeat can be laid over it."""

_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


def check_pattern(pattern: str, name: str) -> None:
    """Refuse what is no regular expression, or may take very long to match.

    Args:
        name: what the message calls it.

    Raises:
        OptionsError: it is one of the two.
    """
    try:
        ways = _ways(parser.parse(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise OptionsError(f"{name} is no regular expression ({error}): {pattern!r}") from None
    if ways > MAX_WAYS:
        raise OptionsError(
            f"{name} is a regular expression that may take very long to match: use fewer *, + and |, and none inside "
            f"another's repeat; got {pattern!r}"
        )


def _ways(sequence: Iterable[tuple[Any, Any]]) -> float:
    """Upper bound on the number of ways to match a name; infinite where it grows with every letter."""
    return math.prod(_ways_of(code, arguments) for code, arguments in sequence)


def _ways_of(code: Any, arguments: Any) -> float:
    if code is codes.BRANCH:
        return sum(map(_ways, arguments[1]))
    if code in _REPEATS:
        least, most, inner = arguments
        each = _ways(inner)
        if least == most:
            return each ** min(most, _LENGTH)
        if most == 1:
            return 1 + each
        return min(_LENGTH, most - least + 1) if each == 1 else math.inf
    return math.prod(map(_ways, _sequences(arguments)))


def _sequences(arguments: Any) -> Iterator[Iterable[tuple[Any, Any]]]:
    """The sequences inside a group, a look-ahead or a condition."""
    if isinstance(arguments, parser.SubPattern):
        yield arguments
    elif isinstance(arguments, tuple | list):
        for argument in arguments:
            yield from _sequences(argument)
