#!/usr/bin/env bash
# The study in results/optimizers: RoPE at `tiny` under AdamW, three seeds, beside the runs of
# scripts/quickstart.sh, which train with Muon; and Muon with other schedules and smaller batches.
# AdamW with a warm-up of a twentieth, its default when this was measured. Two runs side by side,
# three quarters of an hour on 2 cores; typed again it resumes.
set -euo pipefail
export OMP_NUM_THREADS=1
train() {
  python -m posext.train -m +pe=rope study=optimizers results=results/runs/optimizers \
    tracking.wandb=disabled 'context_lengths=[64,128,256,512,1024,2048]' \
    hydra/launcher=joblib hydra.launcher.n_jobs=2 "$@"
}

train optimizer=adamw optimizer.warmup_share=0.05 steps=1000 seed=0,1,2
train optimizer.final_share=0 seed=0
train optimizer.schedule=wsd optimizer.decay_share=0.2 seed=0,1,2
train steps=1400 tokens_per_step=2048 seed=0
train steps=1000 tokens_per_step=2048 optimizer.schedule=wsd optimizer.decay_share=0.2 seed=0
python scripts/learning_rates.py results/runs/rope-tiny-128-seed? results/runs/optimizers/* \
  --out results/optimizers
python benchmarks/optimizer_step.py --out results/benchmarks/2026-11-25.csv
