"""FlexAttention on a CPU: torch's unfused form of it, which has a backward pass that it hides."""

import warnings
from contextlib import contextmanager
from importlib import import_module

import torch
from torch._inductor.kernel.flex.flex_attention import validate_joint_graph
from torch.nn.attention import flex_attention as interface

from posext.model import flex

operator = import_module("torch._higher_order_ops.flex_attention")  # a function has its name too


@contextmanager
def flex_on_cpu(monkeypatch):
    """Take FlexAttention where a GPU would; yield the list of its calls' tables.

    Each backward graph must be one that the GPU's kernel takes.
    """
    calls = []
    attend_flex, make_graphs = flex.attend_flex, operator.create_fw_bw_graph

    def recorded(q, k, v, tables):
        calls.append(tables)
        return attend_flex(q, k, v, tables)

    def validated(*arguments):
        forward, joint = make_graphs(*arguments)
        joint.graph.eliminate_dead_code()
        validate_joint_graph(joint.graph)
        return forward, joint

    with monkeypatch.context() as patched, warnings.catch_warnings():
        # tracing looks at what is no leaf, and hides that of most inputs
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        patched.setattr(interface, "_validate_device", lambda *qkv: None)
        patched.setattr(interface, "_warn_once", lambda *message, **options: None)
        patched.setattr(operator, "create_fw_bw_graph", validated)
        patched.setattr(flex, "available", lambda device: True)
        patched.setattr(flex, "loses_gradients", lambda tables: False)  # as a GPU's kernel does
        patched.setattr(flex, "compiled", lambda: interface.flex_attention)
        patched.setattr(flex, "attend_flex", recorded)
        yield calls
    torch.compiler.reset()
