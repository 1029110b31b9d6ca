#!/usr/bin/env bash
# The study in results/warmup: the share of the steps over which the learning rate rises, for a
# scheme of each family, three seeds each: at `nano` with AdamW, as the zoo trains, and at the
# default size with Muon, as the quickstart does. JOBS runs side by side (2); typed again it goes on
# where it stopped. `bash scripts/warmup.sh nano` (tiny, adamw, collect) does one part of it.
set -euo pipefail
export OMP_NUM_THREADS=1
train() {
  python -m posext.train -m study=warmup results=results/runs/warmup tracking.wandb=disabled \
    +pe=rope,alibi,none,fox,sinusoidal hydra/launcher=joblib hydra.launcher.n_jobs="${JOBS:-2}" "$@"
}

nano() {
  train model=nano optimizer=adamw train_length=64 steps=600 tokens_per_step=2048 \
    evaluation.blocks=2 evaluation.targets=16 evaluation.scored_share=0.5 \
    evaluation.documents=64 'context_lengths=[32,64,128,256,512,1024]' \
    learning_rate=4e-3,8e-3 optimizer.warmup_share=0.05,0.1,0.2,0.4 seed=0,1,2
}

tiny() {
  train 'context_lengths=[64,128,256,512,1024,2048]' \
    optimizer.warmup_share=0.05,0.2,0.4 seed=0,1,2 "$@"
}

adamw() {
  tiny optimizer=adamw steps=1000
}

collect() {
  python scripts/learning_rates.py results/runs/warmup/* --out results/warmup
}

for part in ${*:-nano tiny adamw collect}; do $part; done
