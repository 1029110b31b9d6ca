#!/usr/bin/env bash
# The study in results/quickstart: schemes at the default size, three seeds each, and YaRN trained
# in stages, on the same targets. linear, ntk and yarn are rope's weights, extended. Two runs side by
# side, about an hour and a half on 2 cores; typed again it goes on where it stopped, and
# `bash scripts/quickstart.sh 0` trains one seed.
set -euo pipefail
export OMP_NUM_THREADS=1
seeds=${*:-0 1 2}
train() {
  python -m posext.train -m study=quickstart tracking.wandb=disabled \
    'context_lengths=[64,128,256,512,1024,2048]' "seed=${seeds// /,}" \
    hydra/launcher=joblib hydra.launcher.n_jobs=2 "$@"
}

train +pe=rope,none,alibi,sinusoidal
train +pe=yarn length=progressive
for seed in $seeds; do
  python -m posext.evaluate -m "run=results/runs/rope-tiny-128-seed$seed" +pe@extend=linear,ntk,yarn
done

runs=(results/runs/{rope,none,sinusoidal,alibi}-tiny-128-seed?
  results/runs/yarn-tiny-128to512-seed?)
python -m posext collect "${runs[@]}" --out results/quickstart
python -m posext plot results/quickstart/curves.csv --factor matched \
  --out results/quickstart/figure.png
python -m posext plot results/quickstart/curves.csv --out results/quickstart/figure_fixed.png
python -m posext table results/quickstart/curves.csv --over-seeds > results/quickstart/table.md
python -m posext compare results/quickstart --base rope --over-seeds \
  > results/quickstart/differences.md
