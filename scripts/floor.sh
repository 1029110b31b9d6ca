#!/usr/bin/env bash
# The study in results/floor: schemes on documents whose law is known, and how far from the best
# possible loss they stay. Three seeds, two runs side by side, about an hour and a half on 2 cores;
# typed again it resumes. AdamW with a warm-up of a twentieth, its default when this was measured.
set -euo pipefail
export OMP_NUM_THREADS=1
common=(data=markov model=nano model.n_layers=3 optimizer=adamw optimizer.warmup_share=0.05 steps=500 tokens_per_step=8192
  study=floor
  results=results/runs/floor evaluation.blocks=2 evaluation.targets=32
  evaluation.scored_share=0.5
  'context_lengths=[128,256,512,1024,2048]' checkpoint_every=100)
size=data-markov-model.n_layers-3-optimizer.warmup_share-0.05-optimizer-adamw-steps-500-tokens_per_step-8192

python -m posext.train -m "${common[@]}" hydra/launcher=joblib hydra.launcher.n_jobs=2 \
  +pe=rope,alibi,none,fox seed=0,1,2
for seed in 0 1 2; do
  run=results/runs/floor/rope-nano-128-seed$seed-$size
  python -m posext.evaluate -m "run=$run" +pe@extend=ntk,yarn
  python -m posext.evaluate "run=$run" +window=rerope
done
python -m posext collect results/runs/floor/* --out results/floor
python -m posext table results/runs/floor/* --floor --factor matched > results/floor/table.md
python -m posext compare results/floor --factor matched --base rope --over-seeds \
  > results/floor/differences.md
python -m posext plot results/floor/curves.csv --factor matched --out results/floor/figure.png
