"""Checkpoints as networks of ours."""

import torch
from helpers.checkpoints import ORIGINAL, llama
from transformers import AutoModelForCausalLM

from posext.hf import load
from posext.hf.network import Network, checkpoint_positions


def test_network_with_dynamic_scaling_forgets_longer_contexts(checkpoint):
    """transformers' module keeps the frequencies of the longest context it has seen."""
    dynamic = {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 2.0}
    path = str(checkpoint(llama(rope_parameters=dynamic)))
    tokens = torch.randint(300, (2, 128), generator=torch.Generator().manual_seed(0))

    def network() -> Network:
        positions = checkpoint_positions(load.load_skeleton(path), ORIGINAL)
        return Network(load.load_model(path), positions).eval()

    used, fresh = network(), network()
    with torch.inference_mode():
        used(tokens)
        torch.testing.assert_close(used(tokens[:, :64]), fresh(tokens[:, :64]), atol=0, rtol=0)
        theirs = AutoModelForCausalLM.from_pretrained(path)(tokens).logits
        torch.testing.assert_close(used(tokens), theirs)
