#!/usr/bin/env bash
# Every scheme at one size, one length and the same number of tokens: results/zoo. About an hour on 2 cores; typed again it
# resumes. Those that are trained come first, then those that are put on the weights of the RoPE run.
set -euo pipefail
common=(model=nano train_length=64 steps=600 tokens_per_step=2048 study=zoo results=results/runs/zoo
  evaluation.blocks=2 evaluation.documents=64 'context_lengths=[32,64,128,256,512,1024]' checkpoint_every=1000)
rope=results/runs/zoo/rope-nano-64-seed0-steps-600-tokens_per_step-2048

python -m posext.train -m "${common[@]}" \
  +pe=rope,none,alibi,sinusoidal,learned,t5,kerple_log,kerple_power,sandwich,fire,fox,cable,partial,proportional,xpos
python -m posext.train -m "${common[@]}" \
  +pe=rnope_swa,irope,dual_base,drope,dape,cope,stick_breaking,resonance,note_rope_power,note_ntk_poly
python -m posext.train "${common[@]}" +pe=sinusoidal +position_ids=shape
python -m posext.train "${common[@]}" +pe=rope +position_ids=randomized
python -m posext.train "${common[@]}" +pe=yarn +position_ids=pose
python -m posext.train "${common[@]}" +pe=rope +attention_scale=ssmax
python -m posext.train "${common[@]}" +pe=rope +attention_scale=logn attention_scale.in_range=true
python -m posext.train "${common[@]}" +pe=rope +qk_gain=per_pair
python -m posext.train "${common[@]}" +pe=rope +qk_gain=per_dim
python -m posext.train "${common[@]}" experiment=note_yarn

python -m posext.evaluate -m run=$rope \
  +pe@extend=linear,ntk,dynamic_ntk,ntk_by_parts,yarn,llama3,longrope,mrrope_uni,mrrope_pro,ntk_fixed,ntk_mixed,giraffe_power
python -m posext.evaluate -m run=$rope \
  +pe@extend=clipped,resonance,proportional,note_uniform,note_rope_power,note_ntk_poly,none
python -m posext.evaluate run=$rope +pe@extend=yarn extend.beta_fast=auto
python -m posext.evaluate -m run=$rope +window=window,sinks,lambda_mask,rerope,leaky_rerope,self_extend,dca
python -m posext.evaluate -m run=$rope +attention_scale=logn,llama4,yarn

python scripts/collect.py results/runs/zoo/* --out results/zoo
python scripts/make_table.py results/zoo/curves.csv --factor matched > results/zoo/table.md
python scripts/plot_zoo.py results/zoo/curves.csv --out results/zoo/figure.png
