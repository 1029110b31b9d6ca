#!/usr/bin/env bash
# The study in results/quickstart: seven schemes at the default size, and YaRN trained in stages, on the same targets.
# About 50 minutes on 2 cores. Started again, it goes on where it stopped. linear, ntk and yarn are rope's weights, extended.
set -euo pipefail
lengths='context_lengths=[64,128,256,512,1024,2048]'

for pe in rope none sinusoidal alibi; do
  python -m posext.train "+pe=$pe" study=quickstart "$lengths"
done
python -m posext.train +pe=yarn length=progressive study=quickstart "$lengths"
for extend in linear ntk yarn; do
  python -m posext.evaluate run=results/runs/rope-tiny-128-seed0 "+pe@extend=$extend"
done

runs=(results/runs/{rope-tiny-128,none-tiny-128,sinusoidal-tiny-128,alibi-tiny-128,yarn-tiny-128to512}-seed0)
python scripts/plot_curves.py "${runs[@]}" --factor matched --out results/quickstart/figure.png
python scripts/plot_curves.py "${runs[@]}" --out results/quickstart/figure_fixed.png
python scripts/make_table.py "${runs[@]}" > results/quickstart/table.md
python scripts/collect.py "${runs[@]}" --out results/quickstart
