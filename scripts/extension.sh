#!/usr/bin/env bash
# The study in results/extension: the quickstart's RoPE runs taken further, at four times their
# length, under every recipe, for 25 to 200 steps; beside them, with as many tokens in all, YaRN in
# stages and RoPE trained long from the start. Two runs side by side, about an hour and a half a seed
# on 2 cores; typed again it goes on where it stopped. `bash scripts/extension.sh 0` does one seed.
# It needs the runs of scripts/quickstart.sh.
set -euo pipefail
export OMP_NUM_THREADS=1
seeds=${*:-0 1 2}
runs=results/runs/extension
measured=('context_lengths=[64,128,256,512,1024,2048,4096]' tracking.wandb=disabled)
train() {
  python -m posext.train -m study=extension "results=$runs" "${measured[@]}" \
    hydra/launcher=joblib hydra.launcher.n_jobs=2 "$@"
}

mkdir -p "$runs"
parents=
for seed in $seeds; do
  parent=$runs/rope-tiny-128-seed$seed
  # a copy, as it is measured further than the quickstart's
  if [ ! -d "$parent" ]; then
    mkdir "$parent"
    cp "results/runs/rope-tiny-128-seed$seed"/{config.yaml,model.safetensors,run.json,tokenizer.json} \
      "$parent"
  fi
  python -m posext.evaluate "run=$parent" "${measured[@]}"
  python -m posext.evaluate -m "run=$parent" "${measured[@]}" +pe@extend=linear,ntk,yarn,longrope
  parents+=${parents:+,}$parent
done

for steps in 25 50 100 200; do
  train "init=$parents" "steps=$steps" experiment=pi,ntk,yarn,longrope,abf,pose,drope
  train "init=$parents" "steps=$steps" init.length_multiple=4 +pe=rope,alibi,fox
done
# as many tokens in all as 700 steps and 200 more
train +pe=yarn length=progressive steps=900 "seed=${seeds// /,}"
train +pe=rope train_length=512 steps=900 "seed=${seeds// /,}"

python -m posext collect "$runs"/* --out results/extension
python scripts/extension.py results/extension
