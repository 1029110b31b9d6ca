#!/usr/bin/env bash
# The study in results/learning_rates: the learning rate of every family of schemes at `nano`, three seeds each.
# About an hour on 2 cores; typed again it resumes.
set -euo pipefail
common=(model=nano train_length=64 steps=600 tokens_per_step=2048 study=learning_rates
  results=results/runs/learning_rates evaluation.blocks=2 evaluation.documents=64 tracking.wandb=disabled
  'context_lengths=[32,64,128,256,512,1024]' hydra/launcher=joblib hydra.launcher.n_jobs=2)

python -m posext.train -m "${common[@]}" +pe=rope,none,alibi,fox,sinusoidal learning_rate=2e-3,4e-3,8e-3 seed=0,1,2
