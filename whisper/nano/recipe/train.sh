#!/usr/bin/env bash
# Trains the base model of nano, or one of its adapters, on the corpus in DATA. It takes DATA/glossa
# and the manifests; each phase leaves DATA/PHASE/model. A phase that is done is passed over, and one
# that was stopped goes on from its last checkpoint.
#
#	train.sh DATA base
#	train.sh DATA adapter LANG
set -euo pipefail
data=$1
base=(en de es fr pl hi)
adapted=(ca cs fi it mr ru)

# manifest WEIGHT ROUND LANG… adds a round of these languages to the manifests.
manifests=()
manifest() {
	local weight=$1 round=$2 l
	for l in "${@:3}"; do manifests+=(--data "$data/train.$l.r$round.jsonl=$weight"); done
}
run() { # PHASE OPTION…
	[ -e "$data/$1/model/config.json" ] ||
		"$data/glossa" train --resume --out "$data/$1" "${manifests[@]}" --dev "$data/dev.jsonl" --dev-limit 240 --checkpoint-every 300 "${@:2}"
}
full() { run "$@" --kind full --timestamps 0.1 --augment-noise 0 --augment-silence 0.2; }

train_base() {
	# The adapters' languages are 15% of what the base model hears, as a large Whisper has heard a
	# little of most languages; their texts have their part in the tokenizer.
	#
	# At first it learns to listen, which takes speech of few voices, hardly varied, and CTC over characters.
	manifests=()
	manifest 1 0 "${base[@]}"
	manifest 0.22 0 "${adapted[@]}"
	full base-1 --width 192 --heads 6 --encoder-layers 6 --decoder-layers 3 --merges 1000 --language-tokens 99 \
		--steps 4000 --batch-frames 2600 --learning-rate 2e-3 --floor 0.5 --warmup 300 --ctc-weight 0.7 --bpe-dropout 0.02 \
		--augment-speed 0.05 --augment-gain 3 --augment-warp 0.02 --augment-tilt 0 --augment-freq-masks 0 --augment-time-masks 0
	# Then most voices are invented ones, and sentences are heard a few times.
	manifests=()
	for r in 0 1 2 3 4 5; do manifest 1 $r "${base[@]}"; done
	manifest 0.5 6 en
	for r in 0 1 2; do manifest 0.22 $r "${adapted[@]}"; done
	full base-2 --model "$data/base-1/model" --steps 24000 --batch-frames 4000 --learning-rate 1.5e-3 --floor 0.05 --warmup 200 \
		--ctc-weight 0.5 --bpe-dropout 0.02 --augment-gain 5 --augment-warp 0.05 --augment-freq-masks 0 --augment-time-masks 0
	# At last the decoder alone is taught, at a small rate, by sound that is varied more.
	full base --model "$data/base-2/model" --steps 2500 --batch-frames 4000 --learning-rate 3e-4 --floor 0.01 --warmup 100 \
		--ctc-weight 0 --augment-gain 5 --augment-warp 0.06 --augment-freq-mask 0.12 --augment-time-mask 0.04
}

train_adapter() { # LANG
	manifests=()
	for r in 0 1 2 3; do manifest 1 $r "$1"; done
	run "$1" --kind flora --rank 1 --model "$data/base/model" --steps 2000 --batch-frames 2600 --learning-rate 1e-2 --warmup 60 \
		--ema 0.99 --timestamps 0.1 --augment-noise 0 --augment-silence 0.2 --augment-gain 4 --augment-warp 0.04 \
		--augment-freq-masks 0 --augment-time-masks 0
}

case $2 in
base) train_base ;;
adapter) train_adapter "$3" ;;
*) echo "train.sh: base or adapter, not $2" >&2; exit 2 ;;
esac
