#!/usr/bin/env bash
# The study in results/quickstart: schemes at the default size, three seeds each, and YaRN trained
# in stages, on the same targets. About two and a half hours on 2 cores; started again, it goes on
# where it stopped, and `bash scripts/quickstart.sh 0` does one seed. linear, ntk and yarn are
# rope's weights, extended.
set -euo pipefail
lengths='context_lengths=[64,128,256,512,1024,2048]'

for seed in ${*:-0 1 2}; do
  for pe in rope none sinusoidal alibi; do
    python -m posext.train "+pe=$pe" "seed=$seed" study=quickstart "$lengths"
  done
  python -m posext.train +pe=yarn length=progressive "seed=$seed" study=quickstart "$lengths"
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
