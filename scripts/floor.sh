#!/usr/bin/env bash
# The study in results/floor: schemes on documents whose law is known, and how far from the best possible loss they stay.
# About 40 minutes on 2 cores; typed again it resumes.
set -euo pipefail
common=(data=markov model=nano model.n_layers=3 steps=500 tokens_per_step=8192 study=floor results=results/runs/floor
  evaluation.blocks=2 evaluation.targets=32 'context_lengths=[128,256,512,1024,2048]' checkpoint_every=100)
size=nano-128-seed0-data-markov-model.n_layers-3-steps-500-tokens_per_step-8192

python -m posext.train -m "${common[@]}" +pe=rope,alibi,none,fox
for extend in ntk yarn; do
  python -m posext.evaluate run=results/runs/floor/rope-$size "+pe@extend=$extend"
done
python -m posext.evaluate run=results/runs/floor/rope-$size +window=rerope
python scripts/collect.py results/runs/floor/* --out results/floor
python scripts/make_table.py results/runs/floor/* --floor --factor matched > results/floor/table.md
python scripts/plot_curves.py results/floor/curves.csv --factor matched --out results/floor/figure.png
