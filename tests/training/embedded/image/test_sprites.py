"""The table of drawings and its split, the committed pack, and the drawing itself."""

import hashlib
import io
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from tests.support.csv_tables import read_rows, write_rows
from training.embedded.common.packages import FetchError, Package
from training.embedded.image.material import sprites as module
from training.embedded.image.material.sprites import (
    EXCLUDED_CSV,
    PACK_DIR,
    PACK_ENCODING,
    RENDERERS,
    SPRITES_CSV,
    Encoding,
    Renderer,
    SpriteError,
    build_sprites,
    encode,
    load_sprites,
    trim,
)
from training.embedded.image.world.lexicon import load_lexicon, sprite_concepts

SPRITES = load_sprites()
PERMISSIVE = {"MIT", "Apache-2.0", "CC-BY-4.0"}
MINIMUM_TRAIN_DRAWINGS = 4
NEAR_COPY = 0.85
# Things that fill their bounding box; any other drawing that does has a background of its own.
RECTANGULAR = {"door"}


def by_concept(split: str) -> dict[str, list[module.Sprite]]:
    found = defaultdict(list)
    for sprite in SPRITES:
        if sprite.split == split:
            found[sprite.concept].append(sprite)
    return found


def test_every_sprite_concept_is_drawn_enough_to_train_and_test():
    train, test = by_concept("train"), by_concept("test")
    for concept in sprite_concepts(load_lexicon()):
        assert len(train[concept.id]) >= MINIMUM_TRAIN_DRAWINGS, concept.id
        assert len({sprite.family for sprite in test[concept.id]}) == 1, concept.id


def test_test_drawings_may_be_redistributed():
    assert all(sprite.commit and sprite.licence in PERMISSIVE for sprite in SPRITES if sprite.split == "test")
    assert all(sprite.commit == (sprite.licence in PERMISSIVE) for sprite in SPRITES)


def test_held_out_hands_rotate():
    held_out = Counter(sprites[0].family for sprites in by_concept("test").values())
    # Streamline drew two thirds of the concepts, so it cannot take its turn; it only trains.
    assert set(held_out) == {sprite.family for sprite in SPRITES if sprite.commit} - {"streamline"}
    assert max(held_out.values()) - min(held_out.values()) <= 2
    trained = {sprite.renderer for sprite in SPRITES if sprite.split == "train"}
    assert trained == set(RENDERERS)


def test_the_table_agrees_with_the_lexicon_about_stamps():
    stamps = defaultdict(set)
    for sprite in SPRITES:
        if sprite.renderer == "tuxpaint":
            stamps[sprite.concept].add(sprite.file.rsplit("/")[-1].removesuffix(".png"))
    for concept in sprite_concepts(load_lexicon()):
        assert stamps[concept.id] == set(concept.tuxpaint), concept.id


def test_files_are_listed_once():
    assert len({sprite.path for sprite in SPRITES}) == len(SPRITES)
    assert len({(sprite.renderer, sprite.file) for sprite in SPRITES}) == len(SPRITES)


def test_the_pack_holds_and_credits_exactly_what_may_be_redistributed():
    expected = {sprite.path.as_posix() for sprite in SPRITES if sprite.commit}
    credits = {row["file"]: row for row in read_rows(PACK_DIR / "ATTRIBUTION.csv")}
    assert set(credits) == expected
    assert {path.relative_to(PACK_DIR).as_posix() for path in PACK_DIR.rglob("*.webp")} == expected
    for name, credit in credits.items():
        data = (PACK_DIR / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == credit["sha256"], name
        assert credit["author"] and credit["source"] and credit["licence"] in PERMISSIVE


def test_packed_drawings_are_trimmed_cut_outs():
    for sprite in SPRITES:
        if sprite.commit:
            image = Image.open(PACK_DIR / sprite.path)
            assert image.mode == "RGBA", sprite.path
            assert 32 <= max(image.size) <= PACK_ENCODING.side, sprite.path
            alpha = np.asarray(image)[..., 3]
            assert alpha.min() < 128 or sprite.concept in RECTANGULAR, sprite.path
            edges = alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]
            assert all(edge.max() > 0 for edge in edges), sprite.path


def _thumbnail(sprite: module.Sprite) -> tuple[np.ndarray, np.ndarray]:
    """Alpha [32, 32] and colours over grey [32, 32, 3] of the drawing, centred in a square, in 0..1."""
    image = Image.open(PACK_DIR / sprite.path)
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    pixels = np.asarray(square.resize((32, 32)), dtype=np.float32) / 255
    alpha = pixels[..., 3]
    return alpha, pixels[..., :3] * alpha[..., None] + 0.5 * (1 - alpha[..., None])


def _likeness(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """Overlap of the outlines times closeness of the colours, in 0..1, mirrored if that fits better."""

    def score(alpha: np.ndarray, colours: np.ndarray) -> float:
        both, either = np.minimum(one[0], alpha).sum(), np.maximum(one[0], alpha)
        distance = (np.abs(one[1] - colours).mean(-1) * either).sum() / either.sum()
        return float(both / either.sum() * (1 - distance))

    return max(score(*other), score(other[0][:, ::-1], other[1][:, ::-1]))


def test_no_test_drawing_is_a_near_copy_of_a_training_one():
    thumbnails = {sprite: _thumbnail(sprite) for sprite in SPRITES if sprite.commit}
    train, test = by_concept("train"), by_concept("test")
    for concept, held_out in test.items():
        for one in held_out:
            for other in train[concept]:
                if other.commit:
                    assert _likeness(thumbnails[one], thumbnails[other]) < NEAR_COPY, (one.path, other.path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"renderer": "apple"}, "unknown renderer"),
        ({"concept": "otter"}, "not a sprite concept"),
        ({"licence": "CC0-1.0"}, "licence and commit"),
        ({"commit": "n"}, "licence and commit"),
        ({"split": "validation"}, "split must be"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path, changes, message):
    path = write_rows(tmp_path / "sprites.csv", [read_rows(SPRITES_CSV)[0] | changes])
    with pytest.raises(SpriteError, match=f"line 2: .*{message}"):
        load_sprites(path)


def test_a_family_on_both_sides_of_the_split_is_refused(tmp_path):
    flat, shaded = (
        row for row in read_rows(SPRITES_CSV) if row["concept"] == "dog" and row["renderer"].startswith("fluent-emoji-")
    )
    path = write_rows(tmp_path / "sprites.csv", [flat | {"split": "train"}, shaded | {"split": "test"}])
    with pytest.raises(SpriteError, match="line 3: drawings of one family must share a split"):
        load_sprites(path)


def test_an_excluded_drawing_is_refused(tmp_path):
    excluded = read_rows(EXCLUDED_CSV)
    assert all(row["reason"] for row in excluded)
    row = next(row for row in read_rows(SPRITES_CSV) if row["renderer"] == excluded[0]["renderer"])
    path = write_rows(tmp_path / "sprites.csv", [row | {"concept": excluded[0]["concept"]}])
    with pytest.raises(SpriteError, match="listed in sprites_excluded.csv"):
        load_sprites(path)


def test_trim_keeps_what_can_be_seen():
    image = Image.new("RGBA", (20, 10))
    image.paste((255, 0, 0, 255), (5, 2, 9, 8))
    image.putpixel((0, 0), (0, 0, 0, 3))
    assert trim(image).size == (4, 6)
    with pytest.raises(SpriteError, match="transparent"):
        trim(Image.new("RGBA", (4, 4)))


def test_encode_shrinks_the_longer_side_but_never_enlarges():
    for size, expected in (((100, 50), (40, 20)), ((30, 10), (30, 10))):
        data = encode(Image.new("RGBA", size, (0, 80, 0, 255)), Encoding(side=40, quality=80))
        assert Image.open(io.BytesIO(data)).size == expected


def _renderer(package: str, kind: str, root: str, *, commit: bool) -> Renderer:
    return Renderer(Package("npm", package, "1", "MIT"), kind, root, "an author", "https://example.org", commit)


@pytest.fixture
def small_world(tmp_path, monkeypatch):
    """Two renderers with one drawing each, one of them train-only and impossible to fetch."""
    packages = tmp_path / "packages"
    packages.mkdir()
    body = "<path fill='#f00' d='M2 4h8v4H2z'/>"
    (packages / "icons.json").write_text(f'{{"width": 12, "height": 12, "icons": {{"dog": {{"body": "{body}"}}}}}}')

    def fetch(package: Package):
        if package.name == "missing":
            raise FetchError("no network")
        return packages

    renderers = {
        "icons": _renderer("icons", "iconify", "icons.json", commit=True),
        "stamps": _renderer("missing", "files", ".", commit=False),
    }
    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "RENDERERS", renderers)
    rows = [
        {"renderer": "icons", "concept": "dog", "family": "icons", "file": "dog", "commit": "y"},
        {"renderer": "stamps", "concept": "dog", "family": "stamps", "file": "dog.png", "commit": "n"},
    ]
    path = write_rows(tmp_path / "sprites.csv", [row | {"licence": "MIT", "split": "train"} for row in rows])
    table = load_sprites(path)
    monkeypatch.setattr(module, "load_sprites", lambda: table)
    return renderers


def test_building_draws_and_credits_and_goes_on_without_a_train_only_renderer(small_world, tmp_path, capsys):
    assert build_sprites(tmp_path / "out", tmp_path / "pack") == 1
    assert "warning: stamps left out: no network" in capsys.readouterr().err
    drawn = Image.open(tmp_path / "out" / "icons" / "dog.webp")
    assert drawn.size == (224, 112)
    assert drawn.convert("RGB").getpixel((112, 56))[0] > 200
    assert [row["file"] for row in read_rows(tmp_path / "pack" / "ATTRIBUTION.csv")] == ["icons/dog.webp"]


def test_building_fails_when_a_renderer_of_the_pack_is_missing(small_world, tmp_path):
    small_world["stamps"] = _renderer("missing", "files", ".", commit=True)
    with pytest.raises(FetchError):
        build_sprites(tmp_path / "out")
