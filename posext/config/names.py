"""Names that settings choose from, and that several rooms use."""

PROTOCOLS = (
    "fixed_target",
    "far_copy",
    "perturbed",
    "sliding",
    "nonoverlap",
    "per_position",
    "alibi",
    "alibi_s1",
    "pi",
    "yarn_paper",
    "longlora",
)
# Chosen like protocols, but on constructed contexts: posext.eval.retrieval
RETRIEVAL = (
    "retrieval",
    "multi_key",
    "multi_query",
    "multi_value",
    "variable_tracking",
    "common_words",
    "passkey",
)
HEADLINE = "fixed_target"  # the protocol of charts, unless another is chosen
PERTURBED = "perturbed"  # the protocol whose lengths are those of the text that is not changed
# Groups besides pe, each absent unless named
MODIFIERS = (
    "window",
    "attention_scale",
    "qk_norm",
    "qk_gain",
    "sink",
    "normalizer",
    "gate",
    "position_ids",
)
# Groups whose choices do not say by their names what they choose; a title names the group too
NAMED_IN_TITLES = ("qk_norm", "sink", "gate")
