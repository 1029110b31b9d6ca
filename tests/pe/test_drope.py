"""DroPE against RoPE before the drop of positions, and against no positions after it."""

from helpers.networks import TRAIN_LENGTH, network, tokens


def test_drope_is_rope_until_the_drop_and_none_after():
    model = network(2, "drope", share=0.25)
    rope, none = (network(2, name)(tokens(20)) for name in ("rope", "none"))
    for progress, expected in ((0, rope), (0.74, rope), (0.75, none), (0.99, none), (1, none)):
        model.pe.set_progress(trained_length=TRAIN_LENGTH, progress=progress)
        assert model(tokens(20)).equal(expected)


def test_drope_has_no_positions_in_evaluation():
    """A scheme that is told no progress is one that is trained."""
    logits = network(2, "drope", share=0.25)(tokens(20))
    assert logits.equal(network(2, "none")(tokens(20)))
