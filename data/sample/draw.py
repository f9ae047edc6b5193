"""Draw the demonstration set: invented movies in the format of Kaggle's movies_metadata.csv.

    python data/sample/draw.py

Each genre has its own colors, motif and lettering. The poster of a movie with several genres mixes
them; noise is added, and some posters mislead. The set shows that the pipeline works. Scores on it
say nothing about real movies.

Writes  movies_metadata.csv and posters/ beside this file, the same on every machine
Takes   about 10 s for 640 movies
"""

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

# --- settings -------------------------------------------------------------------------------------
OUTPUT_DIR = Path(__file__).resolve().parent  # the folder for the CSV and posters/
MOVIES = 640  # rows of the CSV; about one in forty has the rarest genre
SEED = 0  # change it to draw other movies
# --------------------------------------------------------------------------------------------------

SIZE = (185, 278)  # pixels, width and height, as TMDb serves posters under /t/p/w185
NOTICE = "Invented movie with a drawn poster: scores on it say nothing about real movies."


def main(output_dir: str | Path = OUTPUT_DIR, movies: int = MOVIES, seed: int = SEED) -> None:
    """Draw the posters, then write the CSV that lists them.

    Args:
        output_dir: the folder to write in.
        movies: number of movies; the first ones are the same for any number.
        seed: of everything that is drawn at random.

    Raises:
        ValueError: `movies` is below 1.
    """
    if movies < 1:
        raise ValueError(f"movies must be at least 1, got {movies!r}")
    output_dir = Path(output_dir)
    (output_dir / "posters").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in tqdm(range(movies), desc="drawing", unit="poster"):
        rng = np.random.default_rng([seed, number])
        movie = invent_movie(number, rng)
        if movie["poster_path"]:
            body = encode(draw_poster(movie["title"], movie["looks"], rng), kind_of(number))
            (output_dir / "posters" / movie["poster_path"].lstrip("/")).write_bytes(body)
        rows.append({name: movie[name] for name in COLUMNS})
    part = output_dir / "movies_metadata.part.csv"
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, output_dir / "movies_metadata.csv")
    print(f"wrote {output_dir / 'movies_metadata.csv'} ({movies} drawn movies) and posters/")
    print("next: python database.py")


Color = tuple[int, ...]  # red, green and blue, from 0 to 255
Draw = ImageDraw.ImageDraw


# --- movies ---------------------------------------------------------------------------------------

COLUMNS = (
    "adult,belongs_to_collection,budget,genres,homepage,id,imdb_id,original_language,"
    "original_title,overview,popularity,poster_path,production_companies,production_countries,"
    "release_date,revenue,runtime,spoken_languages,status,tagline,title,video,vote_average,"
    "vote_count"
).split(",")

ADJECTIVES = (
    "Last Silent Crooked Paper Golden Borrowed Second Hollow Northern Blue Patient Velvet Broken "
    "Distant Careless Hidden Burning Ordinary Restless Winter"
).split()
NOUNS = (
    "Harbour Letter Orchard Engine Witness Garden Corridor Island Signal Kitchen Frontier Mirror "
    "Parade Tunnel Compass Neighbour Choir Lantern Station Wager"
).split()


def kind_of(number: int) -> str:
    """Return "plain" for most movies, or one of the flaws of real metadata at regular intervals."""
    flaws = {
        (80, 7): "TV Movie",
        (107, 11): "Foreign",
        (160, 23): "no genre",
        (128, 50): "no poster",
        (640, 100): "cut short",
        (640, 300): "not an image",
        (640, 500): "empty",
    }
    for (every, offset), kind in flaws.items():
        if number % every == offset:
            return kind
    return "plain"


def invent_movie(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return a row of the CSV as a dict; `looks` are the genres to draw the poster from."""
    names, weights = list(GENRES), np.array([genre.weight for genre in GENRES.values()])
    count = rng.choice([1, 2, 3], p=[0.34, 0.42, 0.24])
    looks = rng.choice(names, size=count, replace=False, p=weights / weights.sum()).tolist()
    kind = kind_of(number)
    listed = [{"id": GENRES[name].tmdb_id, "name": name} for name in looks]
    if kind == "TV Movie":
        listed.append({"id": 10770, "name": "TV Movie"})
    elif kind == "Foreign":
        listed.append({"id": 10769, "name": "Foreign"})
    elif kind == "no genre":
        listed = []
    title = f"The {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    year, month, day = rng.integers(1950, 2018), rng.integers(1, 13), rng.integers(1, 29)
    return {
        "adult": "False",
        "belongs_to_collection": "",
        "budget": int(rng.integers(0, 60)) * 1_000_000,
        "genres": str(listed),
        "homepage": "",
        "id": 9_000_001 + number,
        "imdb_id": f"tt{99_000_001 + number}",
        "original_language": "en",
        "original_title": title,
        "overview": NOTICE,
        "popularity": f"{rng.gamma(1.0, 3.0):.6f}",
        "poster_path": "" if kind == "no poster" else f"/drawn{number:05d}.jpg",
        "production_companies": "[]",
        "production_countries": "[{'iso_3166_1': 'US', 'name': 'United States of America'}]",
        "release_date": f"{year}-{month:02d}-{day:02d}",
        "revenue": "0",
        "runtime": f"{rng.integers(70, 160)}.0",
        "spoken_languages": "[{'iso_639_1': 'en', 'name': 'English'}]",
        "status": "Released",
        "tagline": "",
        "title": title,
        "video": "False",
        "vote_average": f"{rng.uniform(4, 8.5):.1f}",
        "vote_count": int(rng.integers(3, 900)),
        "looks": looks,
    }


# --- posters --------------------------------------------------------------------------------------


def draw_poster(title: str, genres: Sequence[str], rng: np.random.Generator) -> Image.Image:
    """Draw a poster from the palettes, motifs and lettering of its genres."""
    names = list(GENRES)
    palettes = [GENRES[genre].palette for genre in genres]
    if rng.random() < 0.2:  # the poster misleads, with the colors of another genre
        palettes[0] = GENRES[rng.choice(names)].palette
    image = blend(palettes[0][0], palettes[-1][1], rng)
    draw = ImageDraw.Draw(image)
    for genre, palette in zip(genres, palettes, strict=True):
        if rng.random() < 0.12:
            continue  # the poster hides this genre
        for _ in range(rng.integers(2, 5)):
            draw_motif(draw, genre, jitter(palette[2], rng), rng)
    if rng.random() < 0.25:
        stray = rng.choice(names)
        draw_motif(draw, stray, jitter(GENRES[stray].palette[2], rng), rng)
    draw_title(image, title, genres[0], jitter(palettes[0][3], rng), rng)
    pixels = np.asarray(image, dtype=np.int16)
    pixels = pixels + rng.integers(-14, 15, size=pixels.shape, dtype=np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str) -> bytes:
    """Return the poster as JPEG bytes, or the bytes that a faulty host would serve instead."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    body = buffer.getvalue()
    if kind == "cut short":
        return body[: len(body) // 3]
    return {"not an image": b"<html>moved</html>\n", "empty": b""}.get(kind, body)


def jitter(color: Color, rng: np.random.Generator) -> Color:
    """Return a color near another."""
    return tuple(int(c) for c in np.clip(np.array(color) + rng.integers(-28, 29, 3), 0, 255))


def blend(top: Color, bottom: Color, rng: np.random.Generator) -> Image.Image:
    """Return an image that fades from one color at the top to another at the bottom."""
    steps = np.linspace(0, 1, SIZE[1])[:, None] ** rng.uniform(0.6, 1.6)
    column = (1 - steps) * np.array(jitter(top, rng)) + steps * np.array(jitter(bottom, rng))
    return Image.fromarray(np.repeat(column[:, None].round().astype(np.uint8), SIZE[0], axis=1))


def draw_motif(draw: Draw, genre: str, color: Color, rng: np.random.Generator) -> None:
    """Draw the motif of a genre at a random place, in a random size."""
    x, y = rng.uniform(15, SIZE[0] - 15), rng.uniform(50, SIZE[1] - 55)
    GENRES[genre].motif(draw, x, y, rng.uniform(14, 38), color)


def draw_title(
    image: Image.Image, title: str, genre: str, color: Color, rng: np.random.Generator
) -> None:
    """Write the title in the lettering of a genre: case, size, slant, spacing and place."""
    style = GENRES[genre]
    text = (" " * style.spacing).join(style.case(title))
    font = ImageFont.load_default(size=style.size)
    width = max(1, round(font.getlength(text)))
    layer = Image.new("L", (width + 30, style.size + 14))
    ImageDraw.Draw(layer).text((15, 4), text, fill=255, font=font, stroke_width=style.stroke)
    if style.slant:
        matrix = (1, style.slant, -style.slant * layer.height / 2, 0, 1, 0)
        layer = layer.transform(
            layer.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
    if layer.width > SIZE[0]:
        layer = layer.resize((SIZE[0], round(layer.height * SIZE[0] / layer.width)))
    top = 8 if style.place == "top" else SIZE[1] - 40
    place = ((SIZE[0] - layer.width) // 2, top + int(rng.integers(0, 6)))
    behind = np.asarray(image)[place[1] + layer.height // 2].mean()
    if abs(np.mean(color) - behind) < 60:  # too little contrast with the background
        color = (250, 248, 240) if behind < 128 else (24, 22, 20)
    image.paste(Image.new("RGB", layer.size, color), place, layer)


# --- motifs, centered at (x, y) and about 2 r pixels wide -----------------------------------------


def polygon(draw: Draw, points: Iterable[tuple[float, float]], color: Color) -> None:
    draw.polygon([(float(x), float(y)) for x, y in points], fill=color)


def disc(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    draw.ellipse([x - r, y - r, x + r, y + r], fill=color)


def dark(color: Color) -> Color:
    return tuple(c // 3 for c in color)


def star(
    draw: Draw, x: float, y: float, r: float, color: Color, points: int = 8, inner: float = 0.45
) -> None:
    turns = [math.pi * i / points for i in range(2 * points)]
    radii = [r if i % 2 == 0 else r * inner for i in range(2 * points)]
    corners = zip(turns, radii, strict=True)
    polygon(draw, [(x + s * math.sin(t), y - s * math.cos(t)) for t, s in corners], color)


def portrait(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    disc(draw, x, y - r * 0.5, r * 0.45, color)
    draw.pieslice([x - r, y, x + r, y + 2 * r], 180, 360, fill=color)


def smile(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    disc(draw, x, y, r, color)
    disc(draw, x - r * 0.35, y - r * 0.25, r * 0.12, (20, 20, 20))
    disc(draw, x + r * 0.35, y - r * 0.25, r * 0.12, (20, 20, 20))
    box = [x - r * 0.55, y - r * 0.45, x + r * 0.55, y + r * 0.6]
    draw.arc(box, 20, 160, fill=(20, 20, 20), width=3)


def crosshair(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    draw.ellipse([x - r, y - r, x + r, y + r], outline=color, width=3)
    draw.line([x - 1.4 * r, y, x + 1.4 * r, y], fill=color, width=2)
    draw.line([x, y - 1.4 * r, x, y + 1.4 * r], fill=color, width=2)


def explosion(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    star(draw, x, y, 1.2 * r, color, points=9)
    star(draw, x, y, 0.7 * r, (255, 245, 190), points=9)


def heart(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    disc(draw, x - r * 0.45, y - r * 0.3, r * 0.52, color)
    disc(draw, x + r * 0.45, y - r * 0.3, r * 0.52, color)
    polygon(draw, [(x - r * 0.93, y - r * 0.1), (x + r * 0.93, y - r * 0.1), (x, y + r)], color)


def teeth(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    for step in range(-3, 4):
        left = x + step * r * 0.4
        polygon(draw, [(left, y - r), (left + r * 0.4, y - r), (left + r * 0.2, y + r)], color)


def bars(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    draw.rectangle([x - r, y - r, x + r, y + r], outline=color, width=3)
    for step in (-0.5, 0, 0.5):
        draw.line([x + step * r, y - r, x + step * r, y + r], fill=color, width=4)


def mountain(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    polygon(draw, [(x - 1.3 * r, y + r), (x, y - r), (x + 1.3 * r, y + r)], color)
    top = [(x - 0.4 * r, y - 0.4 * r), (x, y - r), (x + 0.4 * r, y - 0.4 * r)]
    polygon(draw, top, (245, 245, 250))


def planet(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    disc(draw, x, y, 0.7 * r, color)
    draw.ellipse([x - 1.4 * r, y - r * 0.3, x + 1.4 * r, y + r * 0.3], outline=color, width=3)


def creature(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    draw.rounded_rectangle([x - r, y - r, x + r, y + r], radius=r * 0.6, fill=color)
    for side in (-0.4, 0.4):
        disc(draw, x + side * r, y - r * 0.2, r * 0.32, (255, 255, 255))
        disc(draw, x + side * r, y - r * 0.15, r * 0.14, (10, 10, 10))


def photograph(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    draw.rectangle([x - r, y - 0.8 * r, x + r, y + 0.8 * r], fill=(250, 250, 250), outline=color)
    draw.rectangle([x - 0.8 * r, y - 0.6 * r, x + 0.8 * r, y + 0.3 * r], fill=color)
    draw.line([x - 0.8 * r, y + 0.55 * r, x + 0.4 * r, y + 0.55 * r], fill=dark(color), width=2)


def note(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    for side in (-0.6, 0.6):
        disc(draw, x + side * r, y + 0.7 * r, 0.3 * r, color)
        draw.line([x + side * r + 0.25 * r, y + 0.7 * r, x + side * r + 0.25 * r, y - r], color, 3)
    draw.line([x - 0.35 * r, y - r, x + 0.85 * r, y - r], fill=color, width=6)


def shield(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    disc(draw, x, y, r, dark(color))
    star(draw, x, y, r, color, points=5, inner=0.4)


def cactus(draw: Draw, x: float, y: float, r: float, color: Color) -> None:
    draw.line([x, y + 1.2 * r, x, y - 1.2 * r], fill=color, width=9)
    for side, height in ((-0.7, 0.1), (0.7, -0.3)):
        elbow = y + height * r
        points = [x, elbow, x + side * r, elbow, x + side * r, elbow - 0.7 * r]
        draw.line(points, fill=color, width=7)


class Genre(NamedTuple):
    """The look of the posters of a genre.

    Attributes:
        tmdb_id: the number of the genre in the CSV.
        weight: how often the genre is drawn, relative to the other weights.
        motif: the function that draws the motif.
        palette: colors of the top, the bottom, the motif and the title.
        case: function that changes the case of the title.
        size: of the title, in pixels.
        place: of the title, "top" or "bottom".
        spacing: spaces between the letters of the title.
        stroke: width in pixels by which the letters are thickened.
        slant: tangent of the angle of the letters.
    """

    tmdb_id: int
    weight: float
    motif: Callable[..., None]
    palette: tuple[Color, ...]
    case: Callable[[str], str]
    size: int
    place: str
    spacing: int = 0
    stroke: int = 0
    slant: float = 0.0


# fmt: off
GENRES = {
    "Drama": Genre(
        18, 30, portrait, ((92, 84, 78), (168, 150, 130), (52, 42, 38), (235, 225, 210)),
        str, 19, "bottom",
    ),
    "Comedy": Genre(
        35, 20, smile, ((255, 236, 120), (255, 250, 235), (250, 190, 40), (210, 40, 40)),
        str, 24, "top", stroke=1,
    ),
    "Thriller": Genre(
        53, 13, crosshair, ((24, 36, 46), (60, 84, 96), (220, 60, 50), (220, 230, 235)),
        str.upper, 17, "bottom", spacing=1,
    ),
    "Romance": Genre(
        10749, 11, heart, ((250, 200, 205), (255, 232, 225), (225, 70, 110), (150, 30, 70)),
        str, 22, "top", slant=0.3,
    ),
    "Action": Genre(
        28, 11, explosion, ((30, 28, 40), (190, 84, 30), (250, 150, 40), (255, 220, 120)),
        str.upper, 24, "bottom", stroke=1, slant=0.25,
    ),
    "Crime": Genre(
        80, 7, bars, ((58, 58, 62), (24, 24, 26), (190, 190, 180), (240, 210, 80)),
        str.upper, 22, "top", stroke=1,
    ),
    "Horror": Genre(
        27, 6, teeth, ((12, 8, 10), (80, 8, 12), (225, 215, 205), (200, 10, 20)),
        str.upper, 25, "top",
    ),
    "Adventure": Genre(
        12, 5, mountain, ((120, 190, 235), (110, 150, 70), (120, 105, 95), (250, 245, 220)),
        str.upper, 21, "top", stroke=1,
    ),
    "Documentary": Genre(
        99, 4.5, photograph, ((240, 240, 236), (216, 220, 222), (96, 120, 134), (40, 44, 48)),
        str, 16, "bottom",
    ),
    "Science Fiction": Genre(
        878, 3.6, planet, ((8, 10, 44), (40, 20, 92), (90, 220, 235), (190, 240, 255)),
        str.upper, 16, "top", spacing=2,
    ),
    "Animation": Genre(
        16, 2.8, creature, ((90, 210, 220), (250, 130, 190), (120, 220, 60), (255, 255, 255)),
        str, 26, "top", stroke=2,
    ),
    "Music": Genre(
        10402, 2, note, ((70, 20, 92), (200, 60, 160), (255, 225, 90), (255, 240, 200)),
        str, 24, "bottom", slant=-0.25,
    ),
    "War": Genre(
        10752, 1.5, shield, ((96, 98, 66), (62, 58, 40), (205, 200, 160), (230, 225, 195)),
        str.upper, 20, "bottom", spacing=1, stroke=1,
    ),
    "Western": Genre(
        37, 1.2, cactus, ((246, 170, 80), (190, 110, 50), (70, 90, 40), (90, 40, 20)),
        str.upper, 23, "bottom", stroke=2,
    ),
}
# fmt: on


if __name__ == "__main__":
    main()
