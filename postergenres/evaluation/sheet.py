"""Write predictions.html, the page about the posters that a user named."""

from postergenres.evaluation.pages import encode, render


def write_sheet(table, rankings, thumbnails, heat_maps, model_name, data_dir):
    """Write predictions.html: the first posters with their most probable genres as bars.

    Args:
        table: DataFrame of path, error and perhaps words of all posters.
        rankings: what `predicted_genres.rank_genres` returned for each of the first posters.
        thumbnails: the pixels of the first posters, None for a poster that could not be read.
        heat_maps: the Grad-CAM pictures of the first thumbnails, None likewise.
        model_name: the model that predicted them, in words.
        data_dir: the folder to write to.
    """
    cards = []
    for i, pixels in enumerate(thumbnails):
        row = table.iloc[i]
        cards.append(
            {
                "path": row["path"],
                "error": row["error"],
                "words": row.get("words", ""),
                "ranking": rankings[i],
                "poster": encode(pixels),
                "heat_map": encode(heat_maps[i]) if i < len(heat_maps) else None,
            }
        )
    render(
        "predictions.html",
        data_dir / "predictions.html",
        cards=cards,
        count=len(table),
        unread=int((table["error"] != "").sum()),
        heat_maps=len(heat_maps),
        model_name=model_name,
    )
