"""YAML files and ``key=value`` arguments to frozen dataclasses, and back; unknown keys and wrong types are refused.

A dataclass is a section; its fields are the keys, their annotations the types. Every message names the file, the full
key (``training.learning_rate``) and, for a misspelt one, the nearest valid name.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml

from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import annotations_of, check_values, nearest

Section = TypeVar("Section")


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key.start_mark)
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
        changes: ``section.key=value``, applied over the file; values are YAML too.

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
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as a date 2000-99-99
        raise OptionsError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise OptionsError(f"{where}: not valid YAML: nested too deeply") from error


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
    known = [field.name for field in fields(kind) if field.init]
    for name in table:
        if name not in known:
            near = nearest(name, known)
            advice = f"did you mean {prefix}{near}?" if near else f"known are {', '.join(known)}"
            raise OptionsError(f"{where}: unknown key {prefix}{name}: {advice}")
    for field in fields(kind):
        if field.init and field.name not in table and field.default is field.default_factory is MISSING:
            raise OptionsError(f"{where}: {prefix}{field.name} is missing")
    annotations = annotations_of(kind)
    values = {name: _converted(annotations[name], value, where, f"{prefix}{name}") for name, value in table.items()}
    try:
        check_values(kind, values, prefix)
    except OptionsError as error:
        raise OptionsError(f"{where}: {error}") from error
    try:
        return kind(**values)
    except OptionsError as error:
        raise OptionsError(f"{where}: {f'{prefix[:-1]}: ' if prefix else ''}{error}") from error


def _converted(annotation: Any, value: Any, where: str, key: str) -> Any:
    """A YAML value in the type of this annotation; unchanged where it does not fit, for ``check_values`` to refuse."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _converted(inner[0], value, where, key)
    if origin in (Union, types.UnionType):
        # Of str | tuple[str, ...] or float | None, the option that changes the value fits it.
        converted = [_converted(option, value, where, key) for option in inner]
        return next((one for one in converted if type(one) is not type(value)), value)
    if is_dataclass(annotation) and isinstance(value, dict):
        return read_section(annotation, value, where, f"{key}.")
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[1:] == (Ellipsis,) else inner
        if len(kinds) != len(value):
            return tuple(value)
        return tuple(
            _converted(of, one, where, f"{key}[{n}]") for n, (of, one) in enumerate(zip(kinds, value, strict=True))
        )
    if annotation is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 takes 1e-5 for a text, because it has no dot
        except (ValueError, OverflowError):
            return value
    if annotation is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    return value


def to_plain(value: Any) -> Any:
    """A value as mappings, lists and plain values, for YAML and JSON."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: to_plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def to_yaml(config: Any) -> str:
    """A configuration in full, every default written out; ``load_config`` reads it back to an equal one."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True, width=100)
