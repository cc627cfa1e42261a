#!/usr/bin/env bash
# Remakes the embedded model from nothing: speech by synthesisers, the base model, an adapter for
# each further language, and the test set. It takes the packages of recipe/packages.txt (Debian),
# 12 GB in DATA, and about four hours on two cores. A training that was stopped goes on from its last
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
	corpus train --out "$data" --round 3 --count 7500 --recorded 0.15 --invented 0.85
	corpus train --out "$data" --round 4 --count 4000 --recorded 1 --languages en
	corpus test --data "$data" --out testdata/multilingual
	touch "$data/complete"
fi

go build -o "$data/glossa" ./cmd/glossa
# data WEIGHT ROUND LANG… adds a round of these languages to the manifests.
manifests=()
data() {
	local weight=$1 round=$2 l
	for l in "${@:3}"; do manifests+=(--data "$data/train.$l.r$round.jsonl=$weight"); done
}
full() {
	"$data/glossa" train --kind full --resume "${manifests[@]}" --dev "$data/dev.jsonl" --batch-frames 2600 "$@"
}
for r in 0 1 2; do data 1 $r "${base[@]}"; done
for r in 0 1; do data 0.15 $r "${adapted[@]}"; done
# At first the model learns to tell the adapters' languages, not to write them.
identify=(--identify-only "$(IFS=,; echo "${adapted[*]}")")
plain=(--augment-noise 0 --augment-freq-masks 0 --augment-time-masks 0 --augment-tilt 0)
varied=(--augment-noise 0 --augment-silence 0.2 --augment-gain 5 --augment-freq-mask 0.12 --augment-time-mask 0.04)
full --out "$data/base-1" "${identify[@]}" --ctc-weight 0.55 --language-tokens 99 --width 160 --heads 5 --encoder-layers 4 --decoder-layers 2 --merges 400 \
	--steps 4500 --learning-rate 2e-3 --warmup 200 --bpe-dropout 0.02
# Once it listens, it learns faster from sound that is hardly varied, until it knows the voices.
full --out "$data/base-2" "${identify[@]}" --ctc-weight 0.55 --model "$data/base-1/model" --steps 7000 --learning-rate 2e-3 --warmup 100 --timestamps 0.1 \
	"${plain[@]}" --augment-speed 0.05 --augment-silence 0.2 --augment-gain 3 --augment-warp 0
# Then voices are varied, for those that it has not heard.
full --out "$data/base-3" "${identify[@]}" --ctc-weight 0.55 --model "$data/base-2/model" --steps 5200 --learning-rate 1.3e-3 --warmup 100 --timestamps 0.1 \
	"${varied[@]}" --augment-warp 0.1
# Most of the training is on invented voices. It hears a little of the adapters' languages, as a large
# Whisper has heard of most languages. (The model that is embedded was on a cosine to 25,000 steps here,
# whose rate was the same at this one.)
manifests=()
for r in 0 1 2; do data 1 $r "${base[@]}"; done
data 2.5 3 "${base[@]}"
for r in 0 1; do data 0.27 $r "${adapted[@]}"; done
data 0.68 3 "${adapted[@]}"
full --out "$data/base-4" --model "$data/base-3/model" --steps 18000 --learning-rate 2e-3 --floor 0.2 --warmup 150 --timestamps 0.1 \
	--ctc-weight 0.5 "${varied[@]}" --augment-warp 0.06
# At last it writes its own languages alone; the others are left to their adapters.
manifests=()
for r in 0 1 2; do data 1 $r de es fr pl hi; data 1.4 $r en; done
data 2.5 3 de es fr pl hi
data 3.5 3 en
for r in 0 1; do data 0.1 $r "${adapted[@]}"; done
data 0.25 3 "${adapted[@]}"
full --out "$data/base-5" "${identify[@]}" --ctc-weight 0 --model "$data/base-4/model" --steps 6000 --learning-rate 4e-4 --floor 0.01 --warmup 200 \
	--timestamps 0.1 "${varied[@]}" --augment-warp 0.06
# English has been spoken by recorded voices too seldom to be understood from one that is new.
manifests=()
for r in 0 1 2; do data 1 $r "${base[@]}"; done
data 2.5 3 "${base[@]}"
data 8 4 en
for r in 0 1; do data 0.1 $r "${adapted[@]}"; done
data 0.25 3 "${adapted[@]}"
full --out "$data/base" "${identify[@]}" --ctc-weight 0 --model "$data/base-5/model" --steps 2500 --learning-rate 4e-4 --floor 0.01 --warmup 150 \
	--timestamps 0.1 "${varied[@]}" --augment-speed 0.12 --augment-warp 0.1
go run ./whisper/nano/recipe -model "$data/base/model" -out whisper/nano/model

adapter() { # LANG STEPS OPTION…
	manifests=()
	for r in 0 1 3; do data 1 $r "$1"; done
	"$data/glossa" train --kind flora --rank 1 --resume --model whisper/nano/model --out "$data/$1" "${manifests[@]}" --dev "$data/dev.jsonl" \
		--steps "$2" --batch-frames 2600 --learning-rate 1e-2 --warmup 60 --ema 0.99 --timestamps 0.1 --augment-noise 0 --augment-silence 0.2 "${@:3}"
	go run ./whisper/nano/recipe -adapter "$data/$1/model" -out "whisper/nano/adapters/$1"
}
unmasked=(--augment-freq-masks 0 --augment-time-masks 0)
adapter ca 2000 "${unmasked[@]}" --augment-gain 5 --augment-warp 0.05
adapter cs 1500 "${unmasked[@]}" --augment-gain 3 --augment-warp 0.03 --augment-speed 0.06 --augment-tilt 0
adapter fi 1500 "${varied[@]}" --augment-warp 0.05
adapter mr 1500 "${unmasked[@]}" --augment-gain 3 --augment-warp 0.03 --augment-speed 0.06 --augment-tilt 0
go run ./cmd/glossa eval testdata/multilingual/manifest.jsonl
