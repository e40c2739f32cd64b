"""Read one file out of the archives that training material comes in.

- ``.rcc``, Qt resources as ``rcc --binary`` writes them: a header, a tree of fixed-size nodes, names in UTF-16
  and data blocks that may be compressed with zlib or Zstandard;
- ``.zip``, ``.jar``; ``.js``, a module around one base64 data URL;
- ``.ocg``, an OpenClonk group: gzip with another magic number, a scrambled header, fixed-size entries, nested;
- ``.cat``, an OpenTTD sound set: an index, then per sound its title and a WAV file.
"""

from __future__ import annotations

import base64
import functools
import gzip
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
    if path.suffix in (".jar", ".zip"):
        with zipfile.ZipFile(path) as opened:
            try:
                return opened.read(member)
            except KeyError as error:
                raise FileNotFoundError(f"{path.name} has no member {member!r}") from error
    if path.suffix == ".ocg":
        return _clonk_member(path, member)
    if path.suffix == ".cat":
        sounds = _openttd_sounds(path)
        if not member.isdecimal() or int(member) >= len(sounds):
            raise FileNotFoundError(f"{path.name} has no member {member!r}: it has 0 to {len(sounds) - 1}")
        return sounds[int(member)][1]
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


_GROUP_HEADER, _GROUP_ENTRY = 204, 316


def _group(blob: bytes) -> dict[str, bytes]:
    """The members of one OpenClonk group by name; a member that is a group again still has to be opened."""
    if blob[:2] == b"\x1e\x8c":
        blob = gzip.decompress(b"\x1f\x8b" + blob[2:])
    header = bytearray(byte ^ 237 for byte in blob[:_GROUP_HEADER])
    for at in range(0, len(header) - 2, 3):
        header[at], header[at + 2] = header[at + 2], header[at]
    if not header.startswith(b"RedWolf Design GrpFolder"):
        raise ValueError("not an OpenClonk group")
    (count,) = struct.unpack_from("<i", header, 36)
    data = _GROUP_HEADER + _GROUP_ENTRY * count
    members = {}
    for index in range(count):
        at = _GROUP_HEADER + _GROUP_ENTRY * index
        name = blob[at : at + 257].split(b"\0")[0].decode("latin-1")
        _packed, _child, size, _unused, offset = struct.unpack_from("<5i", blob, at + 260)
        members[name] = blob[data + offset : data + offset + size]
    return members


@functools.lru_cache(maxsize=2)
def _clonk_root(path: Path) -> dict[str, bytes]:
    return _group(path.read_bytes())


def _clonk_member(path: Path, member: str) -> bytes:
    members, parts = _clonk_root(path), member.split("/")
    for depth, part in enumerate(parts):
        if part not in members:
            raise FileNotFoundError(f"{path.name} has no member {member!r}")
        if depth == len(parts) - 1:
            return members[part]
        members = _group(members[part])
    raise FileNotFoundError(f"{path.name} has no member {member!r}")


@functools.lru_cache(maxsize=2)
def _openttd_sounds(path: Path) -> list[tuple[str, bytes]]:
    """(title, WAV file) of every sound; a title names author and licence."""
    blob = path.read_bytes()
    # The first entry's offset is where the index ends; its top bit marks the newer layout.
    count = (struct.unpack_from("<I", blob)[0] & 0x7FFFFFFF) // 8
    sounds = []
    for index in range(count):
        offset, size = struct.unpack_from("<II", blob, 8 * index)
        offset &= 0x7FFFFFFF
        length = blob[offset]
        title = blob[offset + 1 : offset + 1 + length].rstrip(b"\0").decode("latin-1")
        start = offset + 1 + length
        sounds.append((title, blob[start : start + size]))
    return sounds
