#!/usr/bin/env bash
# Length generalisation on algorithmic tasks: results/algorithms. Eleven schemes, ten tasks, five
# seeds, JOBS runs side by side (2). A run of rope took about 100 seconds of one busy core. Typed
# again it resumes, and `bash scripts/algorithms.sh rope fire_randomized collect` does these parts.
set -euo pipefail
export OMP_NUM_THREADS=1
tasks=copy,reverse,addition,sorting,parity,dyck,flip_flop,mqar,s5,counting
common=(data=algorithmic "data.task=$tasks" model=pico optimizer=adamw steps=2400
  tokens_per_step=2048 compile=false study=algorithms results=results/runs/algorithms
  seed=0,1,2,3,4 checkpoint_every=800 validate_every=800 tracking.wandb=disabled)
train() {
  python -m posext.train -m "${common[@]}" hydra/launcher=joblib hydra.launcher.n_jobs="${JOBS:-2}" "$@"
}

rope_randomized() {
  train +pe=rope +position_ids=randomized
}

fire_randomized() {
  train +pe=fire +position_ids=randomized
}

# with positions for the longest example, which stay untrained
learned() {
  train +pe=learned pe.max_length=700
}

collect() {
  rm -rf results/algorithms/configs results/algorithms/accuracy.csv
  python -m posext collect results/runs/algorithms/* --out results/algorithms
  for metric in exact normalized; do
    python -m posext accuracy results/algorithms --metric $metric \
      --figure results/algorithms/$metric.png > results/algorithms/$metric.md
  done
  python -m posext accuracy results/algorithms --at 1 > results/algorithms/in_range.md
}

for part in ${*:-none rope alibi t5 kerple_log fire fox cope rope_randomized fire_randomized learned collect}; do
  case $part in
    rope_randomized | fire_randomized | learned | collect) $part ;;
    *) train "+pe=$part" ;;
  esac
done
