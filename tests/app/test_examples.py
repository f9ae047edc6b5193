import io

from postergenres.app.examples import draw_examples

from PIL import Image


def test_examples_are_drawn_posters_named_by_title_and_genres():
    examples = draw_examples(3, seed=0)
    for name, body in examples:
        assert name.startswith("The ") and ", drawn as " in name
        with Image.open(io.BytesIO(body), formats=["JPEG"]) as image:
            image.load()
            assert image.size == (185, 278)
    assert examples == draw_examples(3, seed=0) != draw_examples(3, seed=1)
    assert draw_examples(2) != draw_examples(2)  # other posters at each click
