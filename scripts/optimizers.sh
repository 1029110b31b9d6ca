#!/usr/bin/env bash
# The study in results/optimizers: RoPE at `tiny` under AdamW, three seeds, beside the runs of
# scripts/quickstart.sh, which train with Muon; and what else may save steps of Muon, one seed: the
# schedule, its last learning rate, the size of a batch. Two runs side by side, an hour on 2 cores;
# typed again it resumes.
set -euo pipefail
export OMP_NUM_THREADS=1
train() {
  python -m posext.train -m +pe=rope study=optimizers results=results/runs/optimizers \
    tracking.wandb=disabled 'context_lengths=[64,128,256,512,1024,2048]' \
    hydra/launcher=joblib hydra.launcher.n_jobs=2 "$@"
}

train optimizer=adamw steps=1000 seed=0,1,2
train seed=0 optimizer.schedule=wsd optimizer.decay_share=0.4
train seed=0 optimizer.final_share=0.0
train seed=0 tokens_per_step=2048 steps=1400
train seed=0 tokens_per_step=8192 steps=350
python scripts/learning_rates.py results/runs/rope-tiny-128-seed? results/runs/optimizers/* \
  --out results/optimizers
python benchmarks/optimizer_step.py --out results/benchmarks/2026-11-25.csv
