#!/usr/bin/env bash
# Remakes the embedded model from nothing: speech by synthesisers, the base model, an adapter for
# each further language, and the test set. It takes the packages of recipe/packages.txt (Debian),
# 5 GB in DATA, and about two hours on two cores. A training that was stopped goes on from its last
# checkpoint when the script is run again.
#
#	whisper/nano/build.sh [DATA]
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:-nano-data}
base=(en de es fr pl hi)
adapted=(ca cs fi mr)
mkdir -p "$data"
data=$(cd "$data" && pwd)

if [ "$(id -u)" = 0 ]; then
	xargs apt-get install -y --no-install-recommends <whisper/nano/recipe/packages.txt
fi
corpus() { /usr/bin/python3 whisper/nano/recipe/corpus.py "$@"; }
if [ ! -e "$data/complete" ]; then
	corpus held-out --out "$data"
	corpus train --out "$data" --round 0 --count 2500 --recorded 0
	corpus train --out "$data" --round 1 --count 2500 --recorded 0.22
	corpus train --out "$data" --round 2 --count 3000 --recorded 0.22 --languages "$(IFS=,; echo "${base[*]}")"
	corpus test --data "$data" --out testdata/multilingual
	touch "$data/complete"
fi

go build -o "$data/glossa" ./cmd/glossa
manifests=()
for l in "${base[@]}"; do
	for r in 0 1 2; do manifests+=(--data "$data/train.$l.r$r.jsonl"); done
done
# The base model learns to tell the adapters' languages, not to write them.
for l in "${adapted[@]}"; do
	for r in 0 1; do manifests+=(--data "$data/train.$l.r$r.jsonl=0.15"); done
done
full() {
	"$data/glossa" train --kind full --resume "${manifests[@]}" --dev "$data/dev.jsonl" --identify-only "$(IFS=,; echo "${adapted[*]}")" \
		--batch-frames 2600 --ctc-weight 0.55 "$@"
}
plain=(--augment-noise 0 --augment-freq-masks 0 --augment-time-masks 0 --augment-tilt 0)
full --out "$data/base-1" --language-tokens 99 --width 160 --heads 5 --encoder-layers 4 --decoder-layers 2 --merges 400 \
	--steps 4500 --learning-rate 2e-3 --warmup 200 --bpe-dropout 0.02
# Once it listens, it learns faster from sound that is hardly varied, until it knows the voices.
full --out "$data/base-2" --model "$data/base-1/model" --steps 7000 --learning-rate 2e-3 --warmup 100 --timestamps 0.1 "${plain[@]}" \
	--augment-speed 0.05 --augment-silence 0.2 --augment-gain 3 --augment-warp 0
# Then voices are varied, for those that it has not heard.
full --out "$data/base" --model "$data/base-2/model" --steps 5200 --learning-rate 1.3e-3 --warmup 100 --timestamps 0.1 \
	--augment-noise 0 --augment-silence 0.2 --augment-gain 5 --augment-warp 0.1 --augment-freq-mask 0.12 --augment-time-mask 0.04
go run ./whisper/nano/recipe -model "$data/base/model" -out whisper/nano/model

for l in "${adapted[@]}"; do
	"$data/glossa" train --kind flora --rank 1 --resume --model whisper/nano/model --out "$data/$l" \
		--data "$data/train.$l.r0.jsonl" --data "$data/train.$l.r1.jsonl" --dev "$data/dev.jsonl" \
		--steps 560 --batch-frames 2600 --learning-rate 1e-2 --warmup 60 --ema 0.99 --timestamps 0.1 "${plain[@]}" --augment-warp 0.05
	go run ./whisper/nano/recipe -adapter "$data/$l/model" -out "whisper/nano/adapters/$l"
done
go run ./cmd/glossa eval testdata/multilingual/manifest.jsonl
