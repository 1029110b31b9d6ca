"""Names that settings choose from, and that several rooms use."""

PROTOCOLS = (
    "fixed_target",
    "far_copy",
    "key_tokens",
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
ACCURACY = "accuracy"  # the protocol of algorithmic tasks: posext.eval.accuracy
# Chosen like a protocol, but a look at attention, not at the loss: posext.eval.attention
ATTENTION = "attention"
WITHOUT_CURVES = (*RETRIEVAL, ATTENTION)  # what has no rows in curves.csv
HEADLINE = "fixed_target"  # the protocol of charts, unless another is chosen
PER_POSITION = "per_position"  # the protocol of one window
KEY_TOKENS = "key_tokens"  # the protocol whose targets a judge groups
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
# Settings that do not change the weights: they may differ when a run is resumed, and are not part
# of its name.
NOT_IN_IDENTITY = {
    "name",
    "study",
    "tags",
    "results",
    "evaluate",
    "context_lengths",
    "protocols",
    "evaluation",
    "tracking",
    "validate_every",
    "checkpoint_every",
    "keep_every",
    "activation_checkpointing",
    "own_modules",
}
