import io

import numpy as np
import pytest
from conftest import image_bytes
from PIL import Image

from postergenres.dataset.duplicates import find_near_pairs, group_duplicates, hash_posters

DISTANCE = 68


def draw(seed):
    """A poster with shapes of all sizes, as real ones have."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((278, 185, 3))
    for size in (3, 8, 24):
        coarse = rng.integers(0, 256, (size * 3 // 2, size, 3), dtype=np.uint8)
        pixels += np.asarray(Image.fromarray(coarse).resize((185, 278), Image.Resampling.BICUBIC))
    return Image.fromarray((pixels / 3).astype(np.uint8))


def encode(image, quality=90, form="JPEG"):
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return buffer.getvalue()


def group(tmp_path, bodies, max_distance=DISTANCE):
    """The groups of files with these contents; None is a file that is not there."""
    paths = [tmp_path / f"{i}.jpg" for i in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        if body is not None:
            path.write_bytes(body)
    return group_duplicates(hash_posters(paths), max_distance).tolist()


CHANGES = {
    "the same": lambda image: image,
    "half as large": lambda image: image.resize((92, 139)),
    "w500": lambda image: image.resize((500, 751), Image.Resampling.BICUBIC),
    "paler": lambda image: Image.blend(image, Image.new("RGB", image.size, "white"), 0.15),
    "cropped": lambda image: image.crop((3, 5, 182, 273)),
    "another title": lambda image: Image.Image.paste(image, "white", (20, 240, 165, 255)) or image,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_a_little_it_is_the_same_poster(tmp_path, change):
    bodies = [encode(draw(seed)) for seed in range(5)]
    bodies.append(encode(CHANGES[change](draw(2)), quality=60))
    groups = group(tmp_path, bodies)
    assert groups[5] == groups[2] and len(set(groups)) == 5


def test_the_same_bytes_are_the_same_poster_whatever_they_are(tmp_path):
    red, blue = image_bytes((200, 30, 30)), image_bytes((30, 30, 200))
    bodies = [red, b"no image", blue, red, b"no image", b"", None, None]
    assert group(tmp_path, bodies) == [0, 1, 2, 0, 1, 3, 4, 5]


def test_one_layout_in_other_colours_is_another_poster(tmp_path):
    grey = draw(0).convert("L")
    dark = grey.point(lambda value: value // 4)
    tinted = [
        Image.merge("RGB", [grey if channel == kept else dark for channel in range(3)])
        for kept in range(3)
    ]
    assert group(tmp_path, [encode(image) for image in tinted]) == [0, 1, 2]


def test_of_flat_posters_the_colour_is_compared(tmp_path):
    colours = [(i, 255 - i, 100) for i in range(0, 250, 10)]
    groups = group(tmp_path, [image_bytes(colour) for colour in colours])
    assert len(set(groups)) == len(colours)
    black = [image_bytes((0, 0, 0), quality=quality) for quality in (50, 95)]
    assert group(tmp_path, black) == [0, 0]


@pytest.mark.parametrize("form", ["grey with 16 bits", "transparent", "turned"])
def test_what_step_3_makes_the_same_is_the_same(tmp_path, form):
    image = draw(0)
    if form == "grey with 16 bits":
        image = image.convert("L")
        deep = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        bodies = [encode(image, form="PNG"), encode(deep, form="PNG")]
    elif form == "transparent":
        holes = image.copy()
        holes.putalpha(draw(1).convert("L").point(lambda value: 255 * (value > 128)))
        flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), holes).convert("RGB")
        bodies = [encode(flat, form="PNG"), encode(holes, form="PNG")]
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        buffer = io.BytesIO()
        image.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif)
        bodies = [encode(image), buffer.getvalue()]
    assert group(tmp_path, bodies) == [0, 0]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_not_decoded(tmp_path):
    body = encode(Image.new("1", (12_000, 12_000)), form="PNG")
    (tmp_path / "bomb.jpg").write_bytes(body)
    assert hash_posters([tmp_path / "bomb.jpg"])[0].bits is None


def test_a_chain_is_one_group(tmp_path):
    bits = np.zeros((4, 256), dtype=bool)
    bits[1, :60] = bits[2, :120] = True  # 0 and 2 differ in 120 bits, 1 stands between
    bits[3] = True
    bits = np.packbits(bits, axis=1)
    thumbnails = np.zeros((4, 192), dtype=np.uint8)
    assert find_near_pairs(bits, thumbnails, 60, 32).tolist() == [[0, 1], [1, 2]]
    assert find_near_pairs(bits, thumbnails, 59, 32).tolist() == []
    assert find_near_pairs(bits, thumbnails, 60, 32, tile=1).tolist() == [[0, 1], [1, 2]]
    thumbnails[2] = 33
    assert find_near_pairs(bits, thumbnails, 60, 32).tolist() == [[0, 1]]


@pytest.mark.parametrize("tile", [1, 7, 64])
def test_the_pairs_are_those_of_comparing_each_with_each(tile):
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.random((10, 256)) < 0.5, 6, axis=0) ^ (rng.random((60, 256)) < 0.15)
    thumbnails = np.repeat(rng.integers(9, 247, (20, 1)), 3, axis=0)
    thumbnails = thumbnails + rng.integers(-9, 9, (60, 12))
    rows = rng.permutation(60)
    bits, thumbnails = bits[rows], thumbnails[rows]
    pairs = [
        [a, b]
        for a in range(60)
        for b in range(a + 1, 60)
        if (bits[a] ^ bits[b]).sum() <= DISTANCE and abs(thumbnails[a] - thumbnails[b]).mean() <= 12
    ]
    assert 10 < len(pairs) < 100
    packed = np.packbits(bits, axis=1), thumbnails.astype(np.uint8)
    assert find_near_pairs(*packed, DISTANCE, 12, tile).tolist() == pairs
