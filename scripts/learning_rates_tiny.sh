#!/usr/bin/env bash
# The sweep in results/learning_rates/tiny: half and twice the default learning rates of Muon and of
# what AdamW trains beside it, at the default size, one seed of a scheme of each family. What is
# beyond the spread of seeds is told by one. The default rates are the runs of scripts/quickstart.sh.
# Two runs side by side, an hour on 2 cores; typed again it resumes.
set -euo pipefail
export OMP_NUM_THREADS=1
train() {
  python -m posext.train -m study=learning_rates results=results/runs/learning_rates_tiny \
    tracking.wandb=disabled 'context_lengths=[64,128,256,512,1024,2048]' seed=0 \
    hydra/launcher=joblib hydra.launcher.n_jobs=2 "$@"
}

train +pe=fox
train +pe=rope,alibi,none,fox learning_rate=6e-3 optimizer.matrix_learning_rate=0.04
train +pe=rope,alibi,none learning_rate=1.5e-3 optimizer.matrix_learning_rate=0.01
python scripts/learning_rates.py results/runs/{rope,alibi,none,sinusoidal}-tiny-128-seed? \
  results/runs/learning_rates_tiny/* --out results/learning_rates/tiny
