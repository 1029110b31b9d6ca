"""What the benchmarks time is what the trainer does."""

from accelerate import Accelerator
from gpu_throughput import random_tokens
from setting import compose_config, network, training_steps

from posext.data.batch import next_tokens


def test_training_steps_train_the_network_on_next_tokens():
    config = compose_config(
        "model=pico", "train_length=16", "tokens_per_step=128", "learning_rate=0.01"
    )
    tokens = random_tokens(7)
    model = network(config, 7, "rope")
    batch = next_tokens(*tokens.train.batch(config.seed, 0, 16, 8))
    before = model(batch.tokens_BT, batch.labels_BT).item()
    seconds = training_steps(config, tokens, model, Accelerator(cpu=True), compiled=False)(60)
    after = model(batch.tokens_BT, batch.labels_BT).item()
    assert seconds > 0
    assert after < before / 2
