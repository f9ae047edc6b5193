import io

from postergenres.dataset.duplicates import (
    PosterHash,
    find_near_pairs,
    group_duplicates,
    hash_posters,
    leave_out_placeholders,
    list_groups,
)
from postergenres.download.manifest import poster_path

import numpy as np
import pandas as pd
import pytest
from conftest import draw_poster, encode_poster, image_bytes
from PIL import Image

DISTANCE = 68


def group(tmp_path, bodies, max_distance=DISTANCE):
    """Return the group numbers of files with these contents; None is a missing file."""
    ids = list(map(str, range(len(bodies))))
    (tmp_path / "posters").mkdir(exist_ok=True)
    for movie, body in zip(ids, bodies, strict=True):
        if body is not None:
            poster_path(tmp_path, movie).write_bytes(body)
    return group_duplicates(hash_posters(ids, tmp_path), max_distance).tolist()


CHANGES = {
    "the same": lambda image: image,
    "half as large": lambda image: image.resize((92, 139)),
    "w500": lambda image: image.resize((500, 751), Image.Resampling.BICUBIC),
    "paler": lambda image: Image.blend(image, Image.new("RGB", image.size, "white"), 0.15),
    "cropped": lambda image: image.crop((3, 5, 182, 273)),
    "another title": lambda image: Image.Image.paste(image, "white", (20, 240, 165, 255)) or image,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_slightly_changed_poster_is_the_same_poster(tmp_path, change):
    bodies = [encode_poster(draw_poster(seed)) for seed in range(5)]
    bodies.append(encode_poster(CHANGES[change](draw_poster(2)), quality=60))
    groups = group(tmp_path, bodies)
    assert groups[5] == groups[2] and len(set(groups)) == 5


def test_equal_bytes_are_the_same_poster_even_if_they_are_no_image(tmp_path):
    red, blue = image_bytes((200, 30, 30)), image_bytes((30, 30, 200))
    bodies = [red, b"no image", blue, red, b"no image", b"", None, None]
    assert group(tmp_path, bodies) == [0, 1, 2, 0, 1, 3, 4, 5]


def test_the_same_layout_in_other_colors_is_another_poster(tmp_path):
    grey = draw_poster(0).convert("L")
    dark = grey.point(lambda value: value // 4)
    tinted = [
        Image.merge("RGB", [grey if channel == kept else dark for channel in range(3)])
        for kept in range(3)
    ]
    assert group(tmp_path, [encode_poster(image) for image in tinted]) == [0, 1, 2]


def test_flat_posters_are_compared_by_their_color(tmp_path):
    colors = [(i, 255 - i, 100) for i in range(0, 250, 10)]
    groups = group(tmp_path, [image_bytes(color) for color in colors])
    assert len(set(groups)) == len(colors)
    black = [image_bytes((0, 0, 0), quality=quality) for quality in (50, 95)]
    assert group(tmp_path, black) == [0, 0]


@pytest.mark.parametrize("form", ["grey with 16 bits", "transparent", "turned"])
def test_posters_that_preprocessing_makes_equal_are_the_same_poster(tmp_path, form):
    image = draw_poster(0)
    if form == "grey with 16 bits":
        image = image.convert("L")
        deep = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        bodies = [encode_poster(image, form="PNG"), encode_poster(deep, form="PNG")]
    elif form == "transparent":
        holes = image.copy()
        holes.putalpha(draw_poster(1).convert("L").point(lambda value: 255 * (value > 128)))
        flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), holes).convert("RGB")
        bodies = [encode_poster(flat, form="PNG"), encode_poster(holes, form="PNG")]
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        buffer = io.BytesIO()
        image.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif)
        bodies = [encode_poster(image), buffer.getvalue()]
    assert group(tmp_path, bodies) == [0, 0]


@pytest.mark.parametrize("tile", [1, 7, 64])
def test_the_pairs_equal_those_of_a_comparison_of_all_posters(tile):
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
    assert find_near_pairs(*packed, DISTANCE, 12, tile=tile).tolist() == pairs


def test_posters_that_resemble_a_third_are_in_one_group():
    bits = np.zeros((3, 256), dtype=bool)
    bits[1, :60] = bits[2, :120] = True  # rows 0 and 2 differ in 120 bits, row 1 is halfway
    hashes = [
        PosterHash(bytes([row]), np.packbits(bits[row]), np.zeros(192, dtype=np.uint8))
        for row in range(3)
    ]
    assert group_duplicates(hashes, 60).tolist() == [0, 0, 0]
    assert group_duplicates(hashes, 59).tolist() == [0, 1, 2]
    hashes[2] = hashes[2]._replace(thumbnail=np.full(192, 33, dtype=np.uint8))
    assert group_duplicates(hashes, 60).tolist() == [0, 0, 1]


def test_only_groups_of_at_least_two_are_listed():
    assert list_groups(pd.Series(["a", "b", "c", "d"]), [0, 1, 0, 2]) == [["a", "c"]]


def test_the_same_bytes_for_ten_movies_are_no_poster():
    """Train-only movies do not make a placeholder of a poster of the other movies."""
    posters = [PosterHash(b"x")] * 10 + [PosterHash(b"y")] * 9 + [PosterHash()] * 20
    movies = pd.DataFrame({"poster": posters, "train_only": False})
    assert leave_out_placeholders(movies).index.tolist() == list(range(10, 39))
    movies.loc[6:9, "train_only"] = True
    assert leave_out_placeholders(movies).index.tolist() == [*range(6), *range(10, 39)]
