#!/usr/bin/env bash
# The study in results/protocols: all protocols side by side on the same checkpoints, three seeds:
# those of scripts/quickstart.sh, FoX, and RoPE's weights under YaRN, zero-shot and trained on;
# every
# run as trained in a window of its training length too. JOBS measurements side by side (2): some
# two hours on 2 cores, an estimate; typed again it measures again. `bash scripts/protocols.sh train_runs`
# (curves, perturbed, sliding, attention, collect) does one part of it. What stands in
# results/protocols was made by this script at commit 37b3151, with fewer runs and protocols.
set -euo pipefail
export OMP_NUM_THREADS=1
joblib=(hydra/launcher=joblib hydra.launcher.n_jobs="${JOBS:-2}" tracking.wandb=disabled)
lengths=64,128,256,512,1024
protocols=fixed_target,per_position,nonoverlap,far_copy,key_tokens,alibi,pi,yarn_paper,longlora
ropes=results/runs/rope-tiny-128-seed0
ropes+=,results/runs/rope-tiny-128-seed1,results/runs/rope-tiny-128-seed2
train() {
  python -m posext.train -m study=protocols "context_lengths=[$lengths,2048]" "${joblib[@]}" "$@"
}

# measure RUNS: the settings of the study; RUNS are separated by commas
measure() {
  python -m posext.evaluate -m "run=$1" "context_lengths=[$lengths,2048]" \
    evaluation.documents=16 "${joblib[@]}" "${@:2}"
}

commas() {
  local IFS=,
  echo "$*"
}

train_runs() {
  train +pe=rope,none,alibi,fox seed=0,1,2
  train +pe=yarn length=progressive seed=0
  train "init=$ropes" experiment=yarn steps=200
}

find_runs() {
  own=(results/runs/{rope,none,alibi,fox}-tiny-128-seed?
    results/runs/yarn-tiny-512-seed?-experiment-yarn-from-rope-tiny-128-seed?-steps-200)
}

# the judge of the keys is none of those that are compared: YaRN trained in stages, to 512 tokens
curves() {
  find_runs
  local settings=("protocols=[$protocols]"
    evaluation.key_judge=results/runs/yarn-tiny-128to512-seed0)
  measure "$(commas "${own[@]}")" "${settings[@]}" evaluation.own_window=true
  measure "$ropes" "${settings[@]}" +pe@extend=yarn
}

# to eight times the training length, as it reads every window some thirty times
perturbed() {
  find_runs
  local settings=('protocols=[perturbed]' "context_lengths=[$lengths]")
  measure "$(commas "${own[@]}")" "${settings[@]}"
  measure "$ropes" "${settings[@]}" evaluation.own_window=true
  measure "$ropes" "${settings[@]}" +pe@extend=yarn
}

# one seed, as it reads every window eight times
sliding() {
  measure "$(commas results/runs/{rope,alibi}-tiny-128-seed0)" 'protocols=[sliding]'
  measure results/runs/rope-tiny-128-seed0 'protocols=[sliding]' +pe@extend=yarn
}

attention() {
  find_runs
  measure "$(commas "${own[@]}")" 'protocols=[attention]'
  measure "$ropes" 'protocols=[attention]' +pe@extend=yarn
}

collect() {
  find_runs
  rm -rf results/protocols/configs results/protocols/*.csv results/protocols/*.parquet
  python -m posext collect "${own[@]}" --out results/protocols
  for protocol in fixed_target nonoverlap sliding per_position far_copy key_tokens yarn_paper; do
    python -m posext plot results/protocols/curves.csv --factor matched --protocol $protocol \
      --title $protocol --out results/protocols/$protocol.png
  done
  python -m posext table results/protocols/curves.csv --factor matched --over-seeds \
    > results/protocols/table.md
}

for part in ${*:-train_runs curves perturbed sliding attention collect}; do $part; done
