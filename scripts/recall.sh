#!/usr/bin/env bash
# The study in results/recall: whether schemes find a key-value pair again, by depth and context
# length, after training on sequences full of such pairs. Three seeds, two runs side by side; typed
# again it resumes. Embeddings are large at the start and not tied to the output: random words are
# told apart from the first step on. The number of steps is a guess: this was never run to its end.
set -euo pipefail
export OMP_NUM_THREADS=1
tasks=retrieval,multi_key,multi_query,multi_value,variable_tracking,common_words
common=(model=nano model.tied_embeddings=false model.embedding_std=0.5 train_length=64 steps=1000
  data.recall_share=1 data.recall_pairs=8 study=recall results=results/runs/recall
  "protocols=[fixed_target,$tasks]" 'context_lengths=[32,64,128,256,512,1024]'
  checkpoint_every=100 tracking.wandb=disabled)

for seed in 0 1 2; do
  python -m posext.train -m "${common[@]}" hydra/launcher=joblib hydra.launcher.n_jobs=2 \
    +pe=rope,none,alibi,t5,kerple_log,fox seed=$seed
done
for run in results/runs/recall/rope-*; do
  python -m posext.evaluate "run=$run" +pe@extend=yarn
done
python -m posext collect results/runs/recall/* --out results/recall
python scripts/plot_recall.py results/recall/retrieval.csv --out results/recall \
  > results/recall/table.md
