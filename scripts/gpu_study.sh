#!/usr/bin/env bash
# What one GPU reaches, in parts of at most ten minutes, about 45 in all; typed again it goes on:
#   bash scripts/gpu_study.sh            all parts
#   bash scripts/gpu_study.sh correct    one part: correct speed_1024 speed_4096 memory train_rope
#                                        train_alibi train_kerple_log train_fox collect
#   bash scripts/gpu_study.sh --dry-run  all parts on a CPU at nano size: that the script runs
# CORPUS sets what is trained on, as in CORPUS="data=pg19". What is measured lands in $OUT, with the
# machine named in every row.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-results/gpu}
size=base vocabulary=50257 compile=true repeats=3
speed=(--tokens 131072 --micro 16384)
lengths='[256,512,1024,2048,4096,8192,16384]'
training=(train_length=512 steps=250 tokens_per_step=65536 micro_batch_tokens=32768)
contexts=4096,16384,65536,131072
cases=none,rope,alibi,fox,t5,fire,rope+sliding
measured=rope,alibi,t5,fox,rnope_swa,fire
corpus=data=python
if [[ ${1:-} == --dry-run ]]; then
  shift
  OUT=$(mktemp -d)
  size=nano vocabulary=2048 compile=false repeats=1
  speed=(--tokens 1024 --micro 512)
  lengths='[32,64,128,256]'
  training=(train_length=64 steps=10 tokens_per_step=1024)
  contexts=512,1024
  measured=rope,t5
  corpus='data=markov data.documents=60 data.document_tokens=600 data.validation_share=0.3'
fi
runs=$OUT/runs
read -ra corpus <<<"${CORPUS:-$corpus}"
compiled=$([[ $compile == true ]] && echo 1 || echo 0)

correct() {
  python -m pytest -q tests/model/test_cuda.py || (($? == 5))  # 5: no test, as without a GPU
}

speed_at() {
  python benchmarks/gpu_throughput.py --name "gpu_throughput_$1" --out "$OUT/speed.csv" \
    --model $size --vocabulary $vocabulary --repeats $repeats --compiled "$compiled" \
    --lengths "$1" --cases $cases "${speed[@]}"
}
speed_1024() { speed_at "$([[ $size == nano ]] && echo 64 || echo 1024)"; }
speed_4096() { speed_at "$([[ $size == nano ]] && echo 256 || echo 4096)"; }

memory() {
  python benchmarks/memory.py --out "$OUT/speed.csv" --model $size --layers 0 \
    --lengths $contexts --schemes $measured
}

train() {
  python -m posext.train "+pe=$1" model=$size optimizer=adamw "${corpus[@]}" "${training[@]}" \
    compile=$compile "context_lengths=$lengths" evaluation.documents=32 \
    study=gpu results="$runs" tracking.wandb=disabled
}
train_rope() { train rope; }
train_alibi() { train alibi; }
train_kerple_log() { train kerple_log; }
train_fox() { train fox; }

collect() {
  python -m posext collect "$runs"/* --out "$OUT"
  python -m posext table "$OUT/curves.csv" >"$OUT/table.md"
  cat "$OUT/table.md"
}

training_parts="train_rope train_alibi train_kerple_log train_fox"
for part in ${*:-correct speed_1024 speed_4096 memory $training_parts collect}; do $part; done
echo "results are in $OUT"
