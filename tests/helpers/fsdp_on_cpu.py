"""posext.train under FSDP2 on CPUs; with a first argument stop-after=N it is interrupted after the checkpoint of step N.

accelerate gives FSDP to accelerators only, and falls back to DDP on CPUs without a word; so its state is told that these
CPUs are one. Everything else is accelerate's and torch's own.
"""

import sys

from accelerate import PartialState
from accelerate.utils import DistributedType

PartialState(cpu=True)
PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU

from posext import train  # noqa: E402
from posext.training import checkpoint, device  # noqa: E402

accelerator, save = device.accelerator, checkpoint.save


def sharded(precision: str):
    made = accelerator(precision)
    assert made.distributed_type == DistributedType.FSDP
    assert made.is_fsdp2
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    return made


def stopping(folder, done, model, *rest):
    assert any(type(parameter).__name__ == "DTensor" for parameter in model.parameters())
    save(folder, done, model, *rest)
    if done == stop:
        raise KeyboardInterrupt


stop = (
    int(sys.argv.pop(1).removeprefix("stop-after="))
    if sys.argv[1].startswith("stop-after=")
    else None
)
device.accelerator, checkpoint.save = sharded, stopping
train.main()
