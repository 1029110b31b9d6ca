"""Protocols: rules that cut documents into windows and choose the scored target tokens.

One file each. `measure_protocol(PROTOCOLS[name], model, documents, lengths, settings)` gives the
sums of any protocol, for any causal model.

The docstring of each protocol draws its windows. A column is a token of the document and a row is a
window: `#` is a scored target, and `.` is a token that is read and not scored. The last `#` of a
row is not read.
"""

from posext import config
from posext.eval.protocols.far_copy import far_copy
from posext.eval.protocols.fixed_target import fixed_target
from posext.eval.protocols.key_tokens import key_tokens
from posext.eval.protocols.nonoverlap import nonoverlap
from posext.eval.protocols.per_position import per_position
from posext.eval.protocols.perturbed import perturbed
from posext.eval.protocols.plan import (
    Documents,
    Judge,
    ProtocolFn,
    ProtocolPlan,
    ProtocolSettings,
)
from posext.eval.protocols.published import alibi, alibi_s1, longlora, pi, yarn_paper
from posext.eval.protocols.sliding import sliding
from posext.eval.protocols.sums import (
    SUM_COLUMNS,
    measure_protocol,
    sums_by_document,
    target_digests,
)

PROTOCOLS: dict[str, ProtocolFn] = {
    "fixed_target": fixed_target,
    "far_copy": far_copy,
    "key_tokens": key_tokens,
    "perturbed": perturbed,
    "sliding": sliding,
    "nonoverlap": nonoverlap,
    "per_position": per_position,
    "alibi": alibi,
    "alibi_s1": alibi_s1,
    "pi": pi,
    "yarn_paper": yarn_paper,
    "longlora": longlora,
}
assert tuple(PROTOCOLS) == config.PROTOCOLS, "posext.config names the protocols that there are"
# Protocols with the same targets at every length: differences between lengths are the model's.
COMPARABLE = {"fixed_target", "far_copy", "key_tokens", "sliding"}

__all__ = [
    "COMPARABLE",
    "PROTOCOLS",
    "SUM_COLUMNS",
    "Documents",
    "Judge",
    "ProtocolFn",
    "ProtocolPlan",
    "ProtocolSettings",
    "measure_protocol",
    "sums_by_document",
    "target_digests",
]
