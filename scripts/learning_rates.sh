#!/usr/bin/env bash
# The study in results/learning_rates: at `nano`, three seeds each, the learning rate of every
# family of schemes, the initial scale of schemes that add to embeddings, and what may make seeds of
# RoPE differ, all with the warm-up that was the default then. Two runs side by side, about an hour
# and a half on 2 cores; typed again it resumes.
set -euo pipefail
export OMP_NUM_THREADS=1
common=(model=nano optimizer=adamw train_length=64 steps=600 tokens_per_step=2048
  study=learning_rates
  tracking.wandb=disabled results=results/runs/learning_rates
  evaluation.blocks=2 evaluation.targets=16 evaluation.scored_share=0.5 evaluation.documents=64
  'context_lengths=[32,64,128,256,512,1024]')
train() {
  python -m posext.train -m "${common[@]}" hydra/launcher=joblib hydra.launcher.n_jobs=2 "$@"
}

twentieth=optimizer.warmup_share=0.05
train $twentieth +pe=rope,none,alibi,fox,sinusoidal learning_rate=2e-3,4e-3,8e-3 seed=0,1,2
train $twentieth +pe=sinusoidal pe.embedding_std=0.02 learning_rate=2e-3,4e-3 seed=0,1,2
train $twentieth +pe=learned pe.std=0.02,0.01,0.002 learning_rate=4e-3 seed=0,1,2
python scripts/learning_rates.py results/runs/learning_rates/* --out results/learning_rates

seeds() {
  train +pe=rope learning_rate=4e-3 seed=0,1,2,3,4 "results=results/runs/seeds_of_rope" "$@"
}
seeds $twentieth
seeds optimizer.warmup_share=0.2
seeds $twentieth optimizer.clip=0.3
seeds $twentieth precision=fp32
python scripts/learning_rates.py results/runs/seeds_of_rope/* \
  --out results/learning_rates/seeds_of_rope
