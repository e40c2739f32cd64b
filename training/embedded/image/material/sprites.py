"""Build the cut-outs of every concept from several artists' drawings.

``python -m training.embedded.image.material.sprites`` runs it.

``sprites.csv`` lists each drawing: who drew it (renderer), of what (concept), where it is in the
renderer's package, and whether the captioner may train on it. Drawings of one ``family`` are near
copies of each other (one design in flat, shaded and 3D paint) and are never on both sides of the
split. For every concept one family is held out for testing, a different one from concept to concept,
chosen so that nothing in training looks like it; ``sprites_excluded.csv`` lists the drawings that an
emoji set has under a concept's code point but that show something else, with the reason.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import resvg_py
from PIL import Image

from training.embedded.common.packages import FetchError, Package, fetch
from training.embedded.image.world.lexicon import load_lexicon, sprite_concepts
from training.paths import ASSETS, BUILD

SPRITES_CSV = Path(__file__).with_name("sprites.csv")
EXCLUDED_CSV = Path(__file__).with_name("sprites_excluded.csv")
SPRITES_DIR = BUILD / "sprites"
PACK_DIR = ASSETS / "packs" / "image" / "sprites"

Split = Literal["train", "test"]

# Masked SVG groups come out of the rasteriser with hard edges, so draw at twice the size and shrink.
_RASTER_SIDE = 448
_VISIBLE_ALPHA = 8


class SpriteError(ValueError):
    """The table of drawings breaks a rule, or names a drawing that its package does not have."""


@dataclass(frozen=True)
class Encoding:
    """How drawings are stored: WebP quality, and the longer side in pixels at most."""

    side: int
    quality: int


BUILD_ENCODING = Encoding(side=224, quality=85)
PACK_ENCODING = Encoding(side=192, quality=80)


@dataclass(frozen=True)
class Renderer:
    """One artist or set of drawings that has many of the concepts.

    Attributes:
        package: where the drawings are.
        kind: ``iconify`` for SVG bodies in one JSON file, ``files`` for one picture file each.
        root: the JSON file, or the folder of picture files, inside the unpacked package.
        author, source: whom and what to credit.
        commit: whether the licence lets the repository carry the drawings.
    """

    package: Package
    kind: Literal["iconify", "files"]
    root: str
    author: str
    source: str
    commit: bool


def _iconify(name: str, version: str, licence: str, author: str, source: str, commit: bool = True) -> Renderer:
    package = Package("npm", f"@iconify-json/{name}", version, licence)
    return Renderer(package, "iconify", "package/icons.json", author, source, commit)


_FLUENT = "https://github.com/microsoft/fluentui-emoji"
_NOTO = "https://github.com/googlefonts/noto-emoji"

RENDERERS: dict[str, Renderer] = {
    "fluent-emoji-3d": Renderer(
        Package("npm", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT"),
        "files",
        "package/assets",
        "Microsoft Corporation",
        _FLUENT,
        commit=True,
    ),
    "fluent-emoji": _iconify("fluent-emoji", "1.2.7", "MIT", "Microsoft Corporation", _FLUENT),
    "fluent-emoji-flat": _iconify("fluent-emoji-flat", "1.2.6", "MIT", "Microsoft Corporation", _FLUENT),
    "noto": _iconify("noto", "1.2.9", "Apache-2.0", "Google Inc.", _NOTO),
    "noto-v1": _iconify("noto-v1", "1.2.5", "Apache-2.0", "Google Inc.", _NOTO),
    "emojione": _iconify(
        "emojione", "1.2.3", "CC-BY-4.0", "EmojiOne / EmojiTwo", "https://github.com/EmojiTwo/emojitwo"
    ),
    # Designs that its successor redrew: one family with "emojione".
    "emojione-v1": _iconify(
        "emojione-v1",
        "1.2.3",
        "CC-BY-SA-4.0",
        "Emoji One",
        "https://github.com/joypixels/emojione-legacy",
        commit=False,
    ),
    "streamline-emojis": _iconify(
        "streamline-emojis", "1.2.4", "CC-BY-4.0", "Streamline", "https://github.com/webalys-hq/streamline-vectors"
    ),
    # The npm package declares Apache-2.0, which upstream grants for the code; the drawings are CC BY 4.0.
    "fxemoji": _iconify("fxemoji", "1.2.2", "CC-BY-4.0", "Mozilla Foundation", "https://github.com/mozilla/fxemoji"),
    "twemoji": _iconify(
        "twemoji",
        "1.2.5",
        "CC-BY-4.0",
        "Twitter, Inc. and contributors",
        "https://github.com/jdecked/twemoji",
    ),
    "openmoji": Renderer(
        Package("npm", "@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0"),
        "iconify",
        "package/icons.json",
        "OpenMoji",
        "https://github.com/hfg-gmuend/openmoji",
        commit=False,
    ),
    "tuxpaint": Renderer(
        Package("deb", "tuxpaint-stamps-default", "2022.06.04-1", "GPL-2.0-only"),
        "files",
        "usr/share/tuxpaint/stamps",
        "Tux Paint contributors",
        "https://tuxpaint.org/stamps",
        commit=False,
    ),
}


@dataclass(frozen=True)
class Sprite:
    """One drawing of one concept.

    Attributes:
        renderer, concept: keys of ``RENDERERS`` and of the lexicon.
        family: the design it belongs to; drawings of one family and concept share a split.
        file: the icon's name, or the picture's path under the renderer's root.
        licence, commit: as in the renderer, repeated so that the table can be read alone.
        split: ``train`` or ``test``.
        name: the file stem it is stored under.
    """

    renderer: str
    concept: str
    family: str
    file: str
    licence: str
    commit: bool
    split: Split
    name: str

    @property
    def path(self) -> Path:
        """Where it is stored, relative to the folder of sprites."""
        return Path(self.renderer, f"{self.name}.webp")


def load_sprites(path: Path = SPRITES_CSV) -> tuple[Sprite, ...]:
    """Read and check the table of drawings.

    A renderer's second drawing of the same concept is stored as ``<concept>-2``, and so on.

    Raises:
        SpriteError: on an unknown renderer, concept or split, an excluded drawing, a licence that is
            not the renderer's, or a family of drawings on both sides of the split.
    """
    drawn = {concept.id for concept in sprite_concepts(load_lexicon())}
    excluded = {(row["renderer"], row["concept"]) for _, row in _read_table(EXCLUDED_CSV)}
    sides: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    sprites = []
    for line, row in _read_table(path):
        drawing = row["renderer"], row["concept"]
        broken = _broken_rule(row, drawn, excluded)
        if sides.setdefault((row["concept"], row["family"]), row["split"]) != row["split"]:
            broken = "drawings of one family must share a split"
        if broken:
            raise SpriteError(f"{path.name} line {line}: {broken}")
        counts[drawing] += 1
        name = row["concept"] if counts[drawing] == 1 else f"{row['concept']}-{counts[drawing]}"
        sprites.append(Sprite(**(row | {"commit": row["commit"] == "y", "name": name})))
    return tuple(sprites)


def _broken_rule(row: dict[str, str], drawn: set[str], excluded: set[tuple[str, str]]) -> str | None:
    """The first rule that a row breaks on its own, if any."""
    renderer = RENDERERS.get(row["renderer"])
    if renderer is None:
        return f"unknown renderer {row['renderer']!r}"
    if row["concept"] not in drawn:
        return f"{row['concept']!r} is not a sprite concept of the lexicon"
    if (row["renderer"], row["concept"]) in excluded:
        return f"this drawing is listed in {EXCLUDED_CSV.name}"
    if (row["licence"], row["commit"]) != (renderer.package.licence, "y" if renderer.commit else "n"):
        return f"licence and commit must be those of {row['renderer']}"
    if row["split"] not in get_args(Split):
        return f"split must be train or test, got {row['split']!r}"
    return None


def _read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their line numbers."""
    with path.open(encoding="utf-8", newline="") as opened:
        return list(enumerate(csv.DictReader(opened), start=2))


class Drawings:
    """The unpacked drawings of one renderer, fetched when made.

    Raises:
        FetchError: if the renderer's package cannot be fetched.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._kind = renderer.kind
        self._root = fetch(renderer.package) / renderer.root

    @cached_property
    def _icons(self) -> dict:
        return json.loads(self._root.read_text(encoding="utf-8"))

    def draw(self, file: str) -> Image.Image:
        """The drawing in RGBA, untrimmed, at its own size or ``_RASTER_SIDE`` if it is a vector one.

        Raises:
            SpriteError: if the package has no such drawing.
        """
        if self._kind == "iconify":
            return _rasterise(self._svg(file))
        path = self._root / file
        if not path.is_file():
            raise SpriteError(f"no picture {file!r} in {self._root}")
        return Image.open(path).convert("RGBA")

    def _svg(self, name: str) -> str:
        """A whole SVG document, from Iconify's body and view box (defaults are those of the format)."""
        icon = self._icons["icons"].get(name)
        if icon is None:
            raise SpriteError(f"no icon {name!r} in {self._root}")
        box = {"left": 0, "top": 0, "width": 16, "height": 16} | self._icons | icon
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{box["left"]} {box["top"]} {box["width"]} {box["height"]}" '
            f'width="{box["width"]}" height="{box["height"]}">{box["body"]}</svg>'
        )


def _rasterise(svg: str) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=svg, width=_RASTER_SIDE)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def trim(image: Image.Image) -> Image.Image:
    """Crop an RGBA image to what can be seen of it.

    Raises:
        SpriteError: if nothing can be seen.
    """
    box = image.getchannel("A").point(lambda alpha: 255 if alpha > _VISIBLE_ALPHA else 0).getbbox()
    if box is None:
        raise SpriteError("the drawing is fully transparent")
    return image.crop(box)


def encode(image: Image.Image, encoding: Encoding) -> bytes:
    """The trimmed image as WebP, shrunk to the encoding's side; never enlarged."""
    small = image.copy()
    small.thumbnail((encoding.side, encoding.side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=encoding.quality)
    return buffer.getvalue()


def build_sprites(out: Path = SPRITES_DIR, pack: Path | None = None) -> int:
    """Write every drawing to ``<out>/<renderer>/<name>.webp``; the number written.

    Args:
        out: the folder for training.
        pack: if given, what may be redistributed is also written there, smaller, with
            ``ATTRIBUTION.csv``.

    Raises:
        FetchError: if a renderer that the repository carries cannot be fetched. A train-only one is
            left out with a warning: scenes are then drawn by fewer hands.
        SpriteError: if a package lacks a listed drawing.
    """
    sprites = load_sprites()
    credits: list[dict[str, str]] = []
    written = 0
    for name, renderer in RENDERERS.items():
        try:
            drawings = Drawings(renderer)
        except FetchError as error:
            if renderer.commit:
                raise
            print(f"warning: {name} left out: {error}", file=sys.stderr)
            continue
        for sprite in (sprite for sprite in sprites if sprite.renderer == name):
            image = trim(drawings.draw(sprite.file))
            _write(out / sprite.path, encode(image, BUILD_ENCODING))
            written += 1
            if pack is not None and renderer.commit:
                packed = encode(image, PACK_ENCODING)
                _write(pack / sprite.path, packed)
                credits.append(_credit(sprite, renderer, packed))
    if pack is not None:
        _write_table(pack / "ATTRIBUTION.csv", credits)
    return written


def _credit(sprite: Sprite, renderer: Renderer, packed: bytes) -> dict[str, str]:
    return {
        "file": sprite.path.as_posix(),
        "author": renderer.author,
        "source": renderer.source,
        "licence": renderer.package.licence,
        "package": f"{renderer.package.name}@{renderer.package.version}",
        "original": sprite.file,
        "changes": "rasterised, trimmed, scaled",
        "sha256": hashlib.sha256(packed).hexdigest(),
    }


def _write(path: Path, data: bytes) -> None:
    """Write in one step: a reader never sees half a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_bytes(data)
    partial.replace(path)


def _write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SPRITES_DIR, help="folder for training (default: %(default)s)")
    parser.add_argument("--pack", type=Path, default=PACK_DIR, help="folder to commit")
    options = parser.parse_args()
    written = build_sprites(options.out, options.pack)
    print(f"{written} drawings in {options.out}")


if __name__ == "__main__":
    main()
