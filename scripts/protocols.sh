#!/usr/bin/env bash
# The study in results/protocols: all protocols side by side on the same checkpoints, those of
# scripts/quickstart.sh. Half an hour to an hour and a half on 2 cores, most of it `sliding`.
set -euo pipefail
protocols=fixed_target,per_position,sliding,nonoverlap,far_copy,alibi,pi,yarn_paper,longlora
typed=("protocols=[$protocols]" 'context_lengths=[64,128,256,512,1024,2048]'
  evaluation.blocks=4 evaluation.targets=32 evaluation.scored_share=0.5 evaluation.documents=16
  tracking.wandb=disabled)

runs=(results/runs/{rope,alibi}-tiny-128-seed0)
for run in "${runs[@]}"; do
  python -m posext.evaluate "run=$run" "${typed[@]}"
done
python -m posext.evaluate "run=${runs[0]}" +pe@extend=yarn "${typed[@]}"

python -m posext collect "${runs[@]}" --out results/protocols
for protocol in fixed_target nonoverlap sliding per_position far_copy yarn_paper; do
  python -m posext plot results/protocols/curves.csv --factor matched --protocol $protocol \
    --title $protocol --out results/protocols/$protocol.png
done
python -m posext table results/protocols/curves.csv --factor matched > results/protocols/table.md
