#!/usr/bin/env bash
# The study in results/extension: RoPE runs of the default size taken further, at four times their
# length, under every recipe, for 25 to 200 steps; beside them, with as many tokens in all, YaRN in
# stages and RoPE trained long from the start; and in results/extension/rates the learning rate and
# warm-up of a continuation. Three seeds. JOBS runs side by side (2): some six hours on 2 cores,
# minutes on a GPU; typed again it goes on where it stopped. `bash scripts/extension.sh rates`
# (parents, zero_shot, recipes, others, references, collect) does one part of it.
set -euo pipefail
export OMP_NUM_THREADS=1
runs=results/runs/extension
measured=('context_lengths=[64,128,256,512,1024,2048,4096]' tracking.wandb=disabled)
parents=$runs/rope-tiny-128-seed0,$runs/rope-tiny-128-seed1,$runs/rope-tiny-128-seed2
train() {
  python -m posext.train -m study=extension "results=$runs" "${measured[@]}" \
    hydra/launcher=joblib hydra.launcher.n_jobs="${JOBS:-2}" "$@"
}

parents() {
  train +pe=rope seed=0,1,2
}

zero_shot() {
  for run in ${parents//,/ }; do
    python -m posext.evaluate -m "run=$run" "${measured[@]}" +pe@extend=linear,ntk,yarn,longrope &
  done
  wait
}

rates() {
  local sweep=("results=${runs}_rates" "init=$parents" steps=100)
  train "${sweep[@]}" experiment=pi,yarn,abf,drope init.learning_rate_share=0.1,0.3,1
  train "${sweep[@]}" experiment=pi,yarn,abf,drope optimizer.warmup_share=0.2,0.5
  sweep+=(init.length_multiple=4 +pe=alibi,fox)
  train "${sweep[@]}" init.learning_rate_share=0.1,0.3,1
  train "${sweep[@]}" optimizer.warmup_share=0.2,0.5
  python scripts/learning_rates.py "${runs}_rates"/* --out results/extension/rates
}

recipes() {
  train "init=$parents" steps=25,50,100,200 experiment=pi,ntk,yarn,longrope,abf,pose,drope
  train "init=$parents" steps=25,50,100,200 init.length_multiple=4 +pe=rope,alibi,fox
}

# at the original length: other bases, and random positions of four times it; two stages of YaRN,
# measured with the factor of their length and with twice that, fixed
others() {
  train "init=$parents" steps=200 +pe=rope pe.base=500,10000,1000000
  train "init=$parents" steps=200 +pe=yarn +position_ids=randomized position_ids.multiple=4
  train "init=$parents" steps=200 experiment=yarn_two_stage
  for run in "$runs"/yarn-tiny-256to512-seed?-experiment-yarn_two_stage-*; do
    python -m posext.evaluate -m "run=$run" "${measured[@]}" +pe@extend=yarn extend.factor=4,8
  done
}

# as many tokens in all as 700 steps and 200 more
references() {
  train +pe=yarn length=progressive steps=900 seed=0,1,2
  train +pe=rope train_length=512 steps=900 seed=0,1,2
}

collect() {
  python -m posext collect "$runs"/* --out results/extension
  python scripts/extension.py results/extension
}

for part in ${*:-parents zero_shot rates recipes others references collect}; do $part; done
