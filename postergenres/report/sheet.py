"""Write predictions.html, the page about the posters that a user named."""

from postergenres.dataset.decoding import try_decode
from postergenres.report.pages import encode, render

HEIGHT, WIDTH = 75, 50  # pixels of the poster of a similar movie


def write_sheet(table, rankings, thumbnails, heat_maps, model_name, data_dir, neighbors=()):
    """Write predictions.html: the first posters with their most probable genres as bars.

    Args:
        table: DataFrame of path, error and perhaps words of all posters.
        rankings: what `predicted_genres.rank_genres` returned for each of the first posters.
        thumbnails: the pixels of the first posters, None for a poster that could not be read.
        heat_maps: the Grad-CAM pictures of the first thumbnails, None likewise.
        model_name: the model that predicted them, in words.
        data_dir: the folder to write to.
        neighbors: the `similar.Neighbor`s of each of the first posters; empty without a search.
    """
    cards = []
    for i, pixels in enumerate(thumbnails):
        row = table.iloc[i]
        heat_map = heat_maps[i] if i < len(heat_maps) else None
        words, nearest = row.get("words", ""), neighbors[i] if neighbors else ()
        card = make_card(row["path"], row["error"], pixels, heat_map, rankings[i], words, nearest)
        cards.append(card)
    render(
        "predictions.html",
        data_dir / "predictions.html",
        cards=cards,
        count=len(table),
        unread=int((table["error"] != "").sum()),
        heat_maps=len(heat_maps),
        has_neighbors=any(card["neighbors"] for card in cards),
        model_name=model_name,
    )


def make_card(
    path, error, pixels=None, heat_map=None, ranking=(), words="", nearest=(), prior=None
):
    """Return what templates/cards.html shows of a poster.

    Args:
        path: the name of the poster.
        error: why it could not be read, else empty.
        pixels, heat_map: uint8 (H, W, 3), or None.
        ranking: what `predicted_genres.rank_genres` returned.
        words: that were used, as text.
        nearest: list of `similar.Neighbor`.
        prior: {genre: share of the training movies that have it}, for a mark on each bar; or None.
    """
    return {
        "path": path,
        "error": error,
        "poster": encode(pixels),
        "heat_map": encode(heat_map),
        "ranking": ranking,
        "words": words,
        "neighbors": [describe(movie) for movie in nearest],
        "prior": prior,
    }


def describe(neighbor):
    """Return what templates/cards.html shows of a `similar.Neighbor`, a dict."""
    pixels = try_decode(neighbor.path, HEIGHT, WIDTH)[0] if neighbor.path else None
    return {
        "title": neighbor.title or neighbor.id,
        "genres": ", ".join(neighbor.genres),
        "similarity": neighbor.similarity,
        "poster": encode(pixels),
    }
