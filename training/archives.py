"""Read one file out of a Qt resource archive (``.rcc``), a zip (``.jar``), or a base64 JavaScript module.

Qt's format is the one written by ``rcc --binary``: a header, a tree of fixed-size nodes, names in UTF-16
and data blocks that may be compressed with zlib or Zstandard.
"""

from __future__ import annotations

import base64
import functools
import re
import struct
import zipfile
import zlib
from pathlib import Path

import zstandard

_ZLIB, _DIRECTORY, _ZSTD = 1, 2, 4


def read_member(path: Path, member: str | None) -> bytes:
    """The bytes of ``member`` inside the archive ``path``; of the file itself where ``member`` is None.

    Raises:
        FileNotFoundError: if there is no such file or member.
        ValueError: if the archive is not of a format read here.
    """
    if member is None:
        data = path.read_bytes()
        return _embedded(data) if path.suffix == ".js" else data
    if path.suffix == ".rcc":
        archive = _qt_archive(path)
        if member not in archive.offsets:
            raise FileNotFoundError(f"{path.name} has no member {member!r}")
        return archive.read(member)
    if path.suffix == ".jar":
        with zipfile.ZipFile(path) as opened:
            try:
                return opened.read(member)
            except KeyError as error:
                raise FileNotFoundError(f"{path.name} has no member {member!r}") from error
    raise ValueError(f"{path.name} is not an archive this module reads")


def _embedded(script: bytes) -> bytes:
    """The file a JavaScript module carries as a base64 data URL."""
    found = re.search(rb"base64,([A-Za-z0-9+/]+=*)", script)
    if found is None:
        raise ValueError("the JavaScript module holds no base64 data")
    return base64.b64decode(found[1] + b"=" * (-len(found[1]) % 4))


class _QtArchive:
    """Member names with the position of their nodes; data is decompressed when asked for."""

    def __init__(self, blob: bytes) -> None:
        if blob[:4] != b"qres":
            raise ValueError("not a Qt resource archive")
        self._blob = blob
        version, self._tree, self._data, self._names = struct.unpack(">4i", blob[4:20])
        self._node_size = 22 if version >= 2 else 14  # since version 2, nodes end with a time stamp
        self.offsets = dict(self._walk(0, ""))

    def _walk(self, index: int, prefix: str):
        at = self._tree + index * self._node_size
        name_at, flags = struct.unpack_from(">iH", self._blob, at)
        name = prefix if index == 0 else f"{prefix}/{self._name(name_at)}".lstrip("/")
        if flags & _DIRECTORY:
            count, first = struct.unpack_from(">ii", self._blob, at + 6)
            for child in range(first, first + count):
                yield from self._walk(child, name)
        else:
            yield name, at

    def _name(self, offset: int) -> str:
        at = self._names + offset
        (length,) = struct.unpack_from(">H", self._blob, at)
        return self._blob[at + 6 : at + 6 + 2 * length].decode("utf-16-be")  # 4 bytes of hash come first

    def read(self, member: str) -> bytes:
        at = self.offsets[member]
        (flags,) = struct.unpack_from(">H", self._blob, at + 4)
        (offset,) = struct.unpack_from(">i", self._blob, at + 10)
        start = self._data + offset
        (length,) = struct.unpack_from(">i", self._blob, start)
        data = self._blob[start + 4 : start + 4 + length]
        if flags & _ZSTD:
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        if flags & _ZLIB:
            return zlib.decompress(data[4:])  # Qt puts the uncompressed length first
        return data


@functools.lru_cache(maxsize=4)
def _qt_archive(path: Path) -> _QtArchive:
    return _QtArchive(path.read_bytes())
