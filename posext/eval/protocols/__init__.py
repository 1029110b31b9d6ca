"""Protocols: how text is cut into windows, and which of their tokens are scored. One file each.

`measure_protocol(PROTOCOLS[name], model, documents, lengths, settings)` gives the sums of any of them, for any causal model.
"""

from posext import config
from posext.eval.protocols.far_copy import far_copy
from posext.eval.protocols.fixed_target import fixed_target
from posext.eval.protocols.nonoverlap import nonoverlap
from posext.eval.protocols.per_position import per_position
from posext.eval.protocols.plan import Documents, ProtocolFn, ProtocolPlan, ProtocolSettings
from posext.eval.protocols.published import alibi, alibi_s1, longlora, pi, yarn_paper
from posext.eval.protocols.sliding import sliding
from posext.eval.protocols.sums import COLUMNS as SUMS
from posext.eval.protocols.sums import document_sums, measure_protocol, targets

COMPAT: dict[str, ProtocolFn] = {
    "alibi": alibi, "alibi_s1": alibi_s1, "pi": pi, "yarn_paper": yarn_paper, "longlora": longlora,
}  # fmt: skip
PROTOCOLS: dict[str, ProtocolFn] = {
    "fixed_target": fixed_target, "far_copy": far_copy, "sliding": sliding, "nonoverlap": nonoverlap,
    "per_position": per_position, **COMPAT,
}  # fmt: skip
assert tuple(PROTOCOLS) == config.PROTOCOLS, "posext.config names the protocols that there are"
COMPARABLE = {
    "fixed_target",
    "far_copy",
    "sliding",
}  # a difference between two lengths is the model's

__all__ = [
    "COMPARABLE", "COMPAT", "PROTOCOLS", "SUMS", "Documents", "ProtocolFn", "ProtocolPlan", "ProtocolSettings",
    "document_sums", "measure_protocol", "targets",
]  # fmt: skip
