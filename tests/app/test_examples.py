import io

from postergenres.app.examples import draw_examples

from PIL import Image


def test_examples_are_drawn_posters_named_by_title_and_genres():
    examples = draw_examples(8, seed=0)
    assert len(examples) == 8
    for name, body in examples:
        assert name.startswith("The ") and ", drawn as " in name
        with Image.open(io.BytesIO(body), formats=["JPEG"]) as image:
            image.load()
            assert image.size == (185, 278)


def test_a_seed_draws_the_same_posters_and_no_seed_other_ones():
    assert draw_examples(2, seed=0) == draw_examples(2, seed=0) != draw_examples(2, seed=1)
    assert draw_examples(2) != draw_examples(2)
