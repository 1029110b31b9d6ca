"""Run posext.train under FSDP2 on CPUs: fsdp_on_cpu.py [stop-after=N] SETTING...

With stop-after=N, training is interrupted after the checkpoint of step N. On CPUs accelerate
silently replaces FSDP by DDP, so its state is set to that of an accelerator. Everything else is
accelerate's and torch's own code.
"""

import sys

from accelerate import PartialState
from accelerate.utils import DistributedType

PartialState(cpu=True)
PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU

from posext import train  # noqa: E402
from posext.training import checkpoint, device  # noqa: E402

accelerator = device.accelerator
save = checkpoint.save


def sharded(precision: str):
    fsdp = accelerator(precision)
    assert fsdp.distributed_type == DistributedType.FSDP
    assert fsdp.is_fsdp2
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    return fsdp


def save_and_stop(folder, step, model, *rest):
    assert any(type(parameter).__name__ == "DTensor" for parameter in model.parameters())
    save(folder, step, model, *rest)
    if step == last_step:
        raise KeyboardInterrupt


last_step = None
if sys.argv[1].startswith("stop-after="):
    last_step = int(sys.argv.pop(1).removeprefix("stop-after="))
device.accelerator = sharded
checkpoint.save = save_and_stop
train.main()
