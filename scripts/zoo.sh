#!/usr/bin/env bash
# Every scheme at one size, one length and the same number of tokens: results/zoo. JOBS runs side by
# side (2): about four hours on 2 cores; typed again it resumes, and `bash scripts/zoo.sh ten` (rest,
# axes, parts, newest, extensions, collect) does one part of it. Ten schemes get five seeds, the
# others three; then come those that are put on the weights of trained runs.
set -euo pipefail
export OMP_NUM_THREADS=1
size=optimizer-adamw-steps-600-tokens_per_step-2048
common=(model=nano optimizer=adamw train_length=64 steps=600 tokens_per_step=2048 study=zoo
  results=results/runs/zoo evaluation.blocks=2 evaluation.targets=16 evaluation.scored_share=0.5
  evaluation.documents=64 checkpoint_every=1000
  tracking.wandb=disabled 'context_lengths=[32,64,128,256,512,1024]')
train() {
  python -m posext.train -m "${common[@]}" hydra/launcher=joblib hydra.launcher.n_jobs="${JOBS:-2}" "$@"
}

ten() {
  train +pe=rope,none,alibi,fox,cable,kerple_log,t5,fire,cope,sinusoidal seed=0,1,2,3,4
}

rest() {
  train \
    +pe=learned,kerple_power,sandwich,fire_s,partial,proportional,xpos,rnope_swa,irope,dual_base \
    seed=0,1,2
  train +pe=dape,stick_breaking,resonance,note_rope_power,note_ntk_poly seed=0,1,2
  train +pe=hope,smollm3,gpt_oss,olmo3,gemma3 seed=0,1,2
  # the rate stays high until positions are dropped
  train +pe=drope optimizer.schedule=wsd optimizer.decay_share=0.125 seed=0,1,2
}

axes() {
  train +pe=sinusoidal +position_ids=shape seed=0,1,2
  train +pe=rope +position_ids=randomized seed=0,1,2
  train +pe=yarn +position_ids=pose seed=0,1,2
  train +pe=rope +attention_scale=ssmax seed=0,1,2
  train +pe=rope +attention_scale=logn attention_scale.in_range=true seed=0,1,2
  train +pe=rope +qk_gain=per_pair,per_dim seed=0,1,2
  train +pe=rope,yarn length=progressive seed=0,1,2
  train experiment=note_yarn seed=0,1,2
}

# what schemes are sold with
parts() {
  train +pe=rope +qk_norm=per_head,all_heads,no_gain,rotated seed=0,1,2
  train +pe=rope +qk_norm=per_head +qk_gain=per_pair seed=0,1,2
  train +pe=rope,none +sink=learned,off_by_one seed=0,1,2
  train +pe=rope,none +normalizer=softpick,sigmoid,entmax seed=0,1,2
  train +pe=rope,none +gate=head,element seed=0,1,2
}

# built since the last time that the study was made: not in results/zoo yet
newest() {
  train \
    +pe=evq_cosh,fope,darope,selective_rope,pope,grape_a,llama4,wall,path,path_fox seed=0,1,2
  train +pe=rope +position_ids=random_floats seed=0,1,2
  train +pe=rope,none +normalizer=asentmax seed=0,1,2
  train +pe=rope length=window seed=0,1,2
  train +pe=none model.kind=gated_deltanet,mamba2 seed=0,1,2
  for seed in 0 1 2; do
    python -m posext.evaluate "run=results/runs/zoo/rope-nano-64-seed$seed-$size" +window=string \
      tracking.wandb=disabled &
  done
  wait
}

extensions() {
  for seed in 0 1 2; do
    on_rope "results/runs/zoo/rope-nano-64-seed$seed-$size" &
  done
  wait
  on_bias alibi +pe@extend=alibi_interpolated
  on_bias kerple_log +pe@extend=kerple_interpolated
  on_bias none +attention_scale=drope
}

on_rope() {
  evaluate() { python -m posext.evaluate -m "run=$1" tracking.wandb=disabled "${@:2}"; }
  local published=linear,ntk,dynamic_ntk,ntk_by_parts,yarn,llama3,longrope,mrrope_uni,mrrope_pro
  local others=ntk_mixed,giraffe_power,clipped,resonance,proportional
  evaluate "$1" "+pe@extend=$published,ntk_fixed"
  evaluate "$1" "+pe@extend=$others,note_uniform,note_rope_power,note_ntk_poly,none"
  evaluate "$1" +pe@extend=yarn extend.beta_fast=auto
  evaluate "$1" +window=sliding,chunk,sinks,lambda_mask,rerope,leaky_rerope,self_extend,dca
  evaluate "$1" +attention_scale=logn,llama4,yarn
}

# on_bias SCHEME: its runs of three seeds, with the biases interpolated
on_bias() {
  for seed in 0 1 2; do
    python -m posext.evaluate "run=results/runs/zoo/$1-nano-64-seed$seed-$size" \
      tracking.wandb=disabled "${@:2}" &
  done
  wait
}

collect() {
  rm -rf results/zoo/configs results/zoo/curves.csv results/zoo/documents.parquet
  python -m posext collect results/runs/zoo/* --out results/zoo
  python -m posext table results/zoo/curves.csv --factor matched --over-seeds > results/zoo/table.md
  python -m posext compare results/zoo --factor matched --base rope --over-seeds \
    --context 64 256 1024 > results/zoo/differences.md
  python scripts/plot_zoo.py results/zoo/curves.csv --out results/zoo/figure.png
}

for part in ${*:-ten rest axes parts newest extensions collect}; do $part; done
