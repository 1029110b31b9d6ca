#!/usr/bin/env bash
# Times the README's first command from an empty environment: installing, then training, measuring
# and drawing. `bash benchmarks/clean_room.sh 3 OPTION..` does it three times, with options of
# posext.train; it prints one line of seconds each. The machine should do nothing else.
set -euo pipefail
repeats=$1
shift
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
for _ in $(seq "$repeats"); do
  room=$(mktemp -d)
  git clone -q "$source" "$room/posext"
  cd "$room/posext"
  begin=$SECONDS
  python3 -m venv .venv
  .venv/bin/python -m pip install -q . > "$room/pip.log" 2>&1
  installed=$SECONDS
  TORCHINDUCTOR_CACHE_DIR=$room/compiled .venv/bin/python -m posext.train +pe=yarn \
    "$@" > "$room/train.log" 2>&1
  echo "install $((installed - begin)) s, train to chart $((SECONDS - installed)) s" \
    "($(tail -1 results/runs/*/metrics.jsonl))"
  sed -n 's/^.*"tokens_per_second": \([0-9]*\).*$/\1/p' results/runs/*/metrics.jsonl |
    sort -n | awk '{rate[NR] = $1} END {print "median tokens a second", rate[int((NR + 1) / 2)]}'
  cd "$source"
  [ -n "${KEEP:-}" ] || rm -rf "$room"
done
