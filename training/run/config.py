"""YAML files and ``key=value`` words to frozen dataclasses, and back: nothing unknown or ill-typed gets through.

A dataclass is a section; its fields are the keys, their annotations the types. Every message names the file, the full
key (``training.learning_rate``) and, for a misspelt one, the nearest valid name.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from lora_mcl.errors import OptionsError

Section = TypeVar("Section")


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_config(kind: type[Section], file: str | Path, changes: Sequence[str] = ()) -> Section:
    """Read a YAML file as ``kind``.

    Args:
        file: its top level is a mapping of ``kind``'s fields.
        changes: words ``section.key=value``, applied over the file; values are YAML too.

    Raises:
        OptionsError: the file cannot be read, a key is unknown, missing or of another type, or a value is out of range.
    """
    path = Path(file)
    try:
        table = _yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(table, dict):
        raise OptionsError(f"{path} must hold a mapping of settings (`key: value` lines)")
    for change in changes:
        _apply(table, change)
    return read_section(kind, table, str(path))


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise OptionsError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error


def _apply(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *sections, last = key.split(".")
    if not equals or not all([*sections, last]):
        raise OptionsError(f"{change!r}: changes are written key=value, such as training.learning_rate=1e-4")
    for name in sections:
        inner = table.get(name)
        if inner is None:
            inner = table[name] = {}
        if not isinstance(inner, dict):
            raise OptionsError(f"{change!r}: {name} is a value and has no keys of its own")
        table = inner
    table[last] = _yaml(text, change)


def read_section(kind: type[Section], table: Mapping[str, Any], where: str, prefix: str = "") -> Section:
    """A dataclass from a mapping; ``where`` and ``prefix`` open the messages.

    Raises:
        OptionsError: as for ``load_config``.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind) if field.init]
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.5)
            advice = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(known)}"
            raise OptionsError(f"{where}: unknown key {prefix}{name}: {advice}")
    for field in fields(kind):
        if field.init and field.name not in table and field.default is field.default_factory is MISSING:
            raise OptionsError(f"{where}: {prefix}{field.name} is missing")
    values = {name: _value(hints[name], value, where, f"{prefix}{name}") for name, value in table.items()}
    try:
        return kind(**values)
    except OptionsError as error:
        raise OptionsError(f"{where}: {f'{prefix[:-1]}: ' if prefix else ''}{error}") from error


def _value(kind: Any, value: Any, where: str, key: str) -> Any:
    """``value`` as a field annotated ``kind`` holds it."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        problems = []
        for option in inner:
            if option is not type(None):
                try:
                    return _value(option, value, where, key)
                except OptionsError as error:
                    problems.append(error)
        raise problems[0] if len(problems) == 1 else _wrong(kind, value, where, key)
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise OptionsError(f"{where}: {key} must be a section of keys, not {value!r}")
        return read_section(kind, value, where, f"{key}.")
    if origin is Literal:
        if value in inner:
            return value
        near = difflib.get_close_matches(str(value), [str(choice) for choice in inner], 1, 0.5)
        advice = f"; did you mean {near[0]}?" if near else ""
        raise OptionsError(f"{where}: {key} must be one of {', '.join(map(str, inner))}; got {value!r}{advice}")
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(kind, value, where, key)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_value(inner[0], one, where, f"{key}[{n}]") for n, one in enumerate(value))
        if len(inner) != len(value):
            raise OptionsError(f"{where}: {key} must be a list of {len(inner)}; got {len(value)}")
        return tuple(
            _value(of, one, where, f"{key}[{n}]") for n, (of, one) in enumerate(zip(inner, value, strict=True))
        )
    if kind is float and not isinstance(value, bool):
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):  # YAML 1.1 takes 1e-5 for a text, because it has no dot
            try:
                return float(value)
            except ValueError:
                pass
    if kind is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    if kind in (int, bool, str) and type(value) is kind:
        return value
    raise _wrong(kind, value, where, key)


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}


def _named(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_named(option) if option is not type(None) else "null" for option in get_args(kind))
    return _NAMES.get(kind, "a list")


def _wrong(kind: Any, value: Any, where: str, key: str) -> OptionsError:
    return OptionsError(f"{where}: {key} must be {_named(kind)}; got {value!r}")


def plain(value: Any) -> Any:
    """The same as mappings, lists and plain values, for YAML and JSON."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def to_yaml(config: Any) -> str:
    """A configuration in full, every default written out; ``load_config`` reads it back to an equal one."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, width=100)
