"""Reading pictures: archives, panoramas, made skies, crops, labels and writing the pack."""

import base64
import hashlib
import struct
import zipfile

import numpy as np
import pytest
import zstandard
from PIL import Image

from training.embedded.common.archives import read_member
from training.embedded.common.packages import FetchError
from training.embedded.image.material import photos
from training.embedded.image.material.photos import (
    PROCEDURAL,
    Photo,
    RealPhoto,
    Source,
    load_real,
    open_picture,
)
from training.embedded.image.render import skies
from training.embedded.image.render.panorama import SIZE, perspective, read_exr, tone_map


def qt_archive(members: dict[str, tuple[int, bytes]]) -> bytes:
    """A version 2 Qt resource archive with one folder ``art`` of ``name: (flags, stored bytes)``."""
    names, data, name_at = b"", b"", {}
    for name in ("art", *members):
        name_at[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    nodes = [
        struct.pack(">iHiiQ", 0, 2, 1, 1, 0),
        struct.pack(">iHiiQ", name_at["art"], 2, len(members), 2, 0),
    ]
    for name, (flags, stored) in members.items():
        nodes.append(struct.pack(">iHHHiQ", name_at[name], flags, 0, 0, len(data), 0))
        data += struct.pack(">i", len(stored)) + stored
    header, tree = 20, b"".join(nodes)
    offsets = (2, header, header + len(tree), header + len(tree) + len(data))
    return b"qres" + struct.pack(">4i", *offsets) + tree + data + names


def test_members_of_a_qt_archive_are_read_plain_and_compressed(tmp_path):
    path = tmp_path / "a.rcc"
    path.write_bytes(qt_archive({"plain.txt": (0, b"as is"), "small.txt": (4, zstandard.compress(b"packed"))}))
    assert read_member(path, "art/plain.txt") == b"as is"
    assert read_member(path, "art/small.txt") == b"packed"
    with pytest.raises(FileNotFoundError, match="no member"):
        read_member(path, "art/none.txt")


def test_members_of_other_containers(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.jar", "w") as archive:
        archive.writestr("in/side.txt", "zipped")
    assert read_member(tmp_path / "a.jar", "in/side.txt") == b"zipped"
    with pytest.raises(FileNotFoundError, match="no member"):
        read_member(tmp_path / "a.jar", "nothing")
    script = 'export default "data:image/x-exr;base64,' + base64.b64encode(b"embedded").decode() + '"'
    (tmp_path / "a.exr.js").write_text(script)
    assert read_member(tmp_path / "a.exr.js", None) == b"embedded"
    (tmp_path / "a.txt").write_bytes(b"file")
    assert read_member(tmp_path / "a.txt", None) == b"file"
    for name, member in (("a.txt", "x"), ("bad.rcc", "x"), ("bad.js", None)):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError):
            read_member(tmp_path / name, member)


def longitude_and_latitude(height: int = 180) -> np.ndarray:
    """A panorama whose pixels hold where they are, in degrees."""
    longitude = (np.arange(2 * height) + 0.5) / (2 * height) * 360 - 180
    latitude = 90 - (np.arange(height) + 0.5) / height * 180
    return np.stack(np.meshgrid(longitude, latitude), axis=-1)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (60, 0), (-100, 20), (30, -35)])
def test_a_view_looks_in_its_direction(yaw, pitch):
    view = perspective(longitude_and_latitude(), yaw, pitch, fov=90)
    assert view.shape == (SIZE[1], SIZE[0], 2)
    middle = view[SIZE[1] // 2, SIZE[0] // 2]
    assert middle == pytest.approx([yaw, pitch], abs=0.6)


def test_a_view_spans_its_field_of_view():
    row = perspective(longitude_and_latitude(), 0, 0, fov=80)[SIZE[1] // 2, :, 0]
    assert row[[0, -1]] == pytest.approx([-40, 40], abs=0.6)
    assert (np.diff(row) > 0).all()


def test_tone_mapping_keeps_the_order_and_exposes_to_the_key():
    ramp = np.repeat(np.geomspace(0.01, 100, 64)[:, None, None], 3, axis=2)
    mapped = tone_map(ramp, 0.3)[:, 0, 0].astype(int)
    assert (np.diff(mapped) >= 0).all() and mapped[0] < 40 and mapped[-1] == 255
    flat = np.full((4, 4, 3), 7.0)
    assert (tone_map(flat, 0.3) == tone_map(flat * 50, 0.3)).all()
    assert tone_map(flat, 0.03).max() < tone_map(flat, 0.3).min()


def test_an_exr_file_is_read(tmp_path):
    import OpenEXR as exr

    pixels = np.zeros((8, 16, 3), dtype=np.float32)
    pixels[..., 1] = 0.5
    path = tmp_path / "small.exr"
    with exr.File({"type": exr.scanlineimage}, {"RGB": pixels}) as file:
        file.write(str(path))
    assert read_exr(path.read_bytes()) == pytest.approx(pixels)


@pytest.mark.parametrize("kind", ["white_wall", "fog", "sunset", "aurora", "space"])
def test_skies_depend_on_seed_and_tone_alone(kind):
    first = np.asarray(skies.paint(kind, seed=1, tone=0.2))
    assert first.shape == (skies.HEIGHT, skies.WIDTH, 3)
    assert (first == np.asarray(skies.paint(kind, seed=1, tone=0.2))).all()
    for other in (skies.paint(kind, seed=2, tone=0.2), skies.paint(kind, seed=1, tone=0.9)):
        assert (first != np.asarray(other)).any()


def test_skies_refuse_what_they_cannot_paint():
    with pytest.raises(ValueError, match="unknown kind"):
        skies.paint("rain", 1, 0.5)
    with pytest.raises(ValueError, match="tone"):
        skies.paint("fog", 1, 1.5)


def source(path: str, package: str = "scratch", **changes) -> Source:
    row = {"id": "x", "licence": "CC0-1.0", "author": "someone", "commit": False, "split": "train"}
    return Source(package=package, path=path, **row | changes)


def test_pictures_are_cropped_tiled_and_set_on_a_sky(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "_fetched", lambda package: tmp_path)
    picture = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 5, 20, 10))
    picture.save(tmp_path / "land.png")
    assert open_picture(source("land.png", crop=(0.5, 0.5, 1, 1))).size == (10, 5)
    assert open_picture(source("land.png#tile=2x3")).size == (40, 30)
    day, night = open_picture(source("land.png")), open_picture(source("land.png#sky=000000"))
    assert day.getpixel((3, 8)) == night.getpixel((3, 8)) == (255, 0, 0)
    assert day.getpixel((3, 0))[2] > 200 and night.getpixel((3, 0)) == (0, 0, 0)
    assert open_picture(source("land.png#yaw=10,pitch=0,fov=80")).size == SIZE


def test_missing_packages_cost_their_pictures_only(tmp_path, monkeypatch, caplog):
    def fail(package):
        raise FetchError("no network")

    monkeypatch.setattr(photos, "_fetched", fail)
    made = source("fog#seed=1,tone=0.1", PROCEDURAL, id="fog_01", commit=True)
    rows = [Photo(source("a.jpg"), "forest", 0.8), Photo(made, "fog", 0.8)]
    monkeypatch.setattr(photos, "load_photos", lambda: rows)
    monkeypatch.setattr(photos, "load_real", lambda: [])
    assert photos.build_photos(tmp_path / "build" / "photos") == 1
    assert "no network" in caplog.text
    total = photos.write_pack(tmp_path / "build", tmp_path / "pack")
    written = tmp_path / "pack" / "photos" / "fog" / "fog_01.jpg"
    assert total == written.stat().st_size
    assert (
        "fog/fog_01.jpg,training/embedded/image/render/skies.py"
        in (tmp_path / "pack" / "photos" / "ATTRIBUTION.csv").read_text()
    )


def test_a_file_of_another_content_than_labelled_is_refused(tmp_path, monkeypatch):
    """Labels are of one picture: a package that changes it must not change what is measured."""
    monkeypatch.setattr(photos, "_fetched", lambda package: tmp_path)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "cat.png")
    right = hashlib.sha256((tmp_path / "cat.png").read_bytes()).hexdigest()
    assert open_picture(source("cat.png", sha256=right)).size == (8, 8)
    with pytest.raises(ValueError, match="x: cat.png in scratch is another file than expected"):
        open_picture(source("cat.png", sha256="0" * 64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"main": ""}, "a test photograph needs a main thing"),
        ({"coco": "hound"}, "unknown COCO class 'hound'"),
        ({"count": 0}, "count must be 1 or more"),
        ({"position": "top"}, "position must be one of left, middle, right, got 'top'"),
    ],
)
def test_a_label_that_is_none_is_refused(changes, message):
    labels = {"concepts": (("dog", 1),), "place": None, "main": "dog", "coco": "dog"}
    RealPhoto(source("a.jpg", split="test"), **labels)
    with pytest.raises(ValueError, match=message):
        RealPhoto(source("a.jpg", split="test"), **labels | changes)


def test_a_row_of_labels_is_read(tmp_path, monkeypatch):
    header = (photos.HERE / "real.csv").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "real.csv").write_text(
        f"{header}\n"
        "two,scratch,a.jpg,00,,PD,someone,n,test,cat:2;ball,meadow,cat,cat,,ball;wine glass:3,2,left,pets\n"
        "some,scratch,b.jpg,00,,PD,someone,n,train,pencil:9,,,,,,,,\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(photos, "HERE", tmp_path)
    two, some = load_real()
    assert two.concepts == (("cat", 2), ("ball", 1)) and two.also == {"ball", "wine_glass"}
    assert (two.main, two.coco, two.place, two.count, two.position, two.group) == (
        "cat",
        "cat",
        "meadow",
        2,
        "left",
        "pets",
    )
    assert (two.file, two.source.sha256) == ("test/two.jpg", "00")
    assert (some.main, some.place, some.count, some.position, some.accepted) == ("", None, None, None, frozenset())
