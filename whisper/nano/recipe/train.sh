#!/usr/bin/env bash
# Trains the phases of nano's base model, or one of its adapters over DATA/base/model, on the corpus in DATA. It takes
# DATA/glossa and the manifests; each phase leaves DATA/PHASE/model. A phase that is done is passed over, and one
# that was stopped goes on from its last checkpoint.
#
#	train.sh DATA base
#	train.sh DATA adapter LANG
#
# The embedded model took detours that are left out here: its phase base-2 was begun at a rate of 1.5e-3 without guidance, went on at
# 4e-4 from step 5,453, and was guided from step 12,433 on. Its other phases are these.
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
full() { run "$@" --kind full --augment-noise 0; }

train_base() {
	# The adapters' languages are 15% of what the base model hears, as a large Whisper has heard a
	# little of most languages; their texts have their part in the tokenizer.
	#
	# At first it learns to listen, which takes speech of few voices, hardly varied, and CTC over characters.
	manifests=()
	manifest 1 0 "${base[@]}"
	manifest 0.22 0 "${adapted[@]}"
	short=(--timestamps 0.1 --augment-silence 0.2)
	full base-1 "${short[@]}" --width 192 --heads 6 --encoder-layers 6 --decoder-layers 3 --merges 1000 --language-tokens 99 \
		--steps 4000 --batch-frames 2600 --learning-rate 2e-3 --floor 0.5 --warmup 300 --ctc-weight 0.7 --bpe-dropout 0.02 \
		--augment-speed 0.05 --augment-gain 3 --augment-warp 0.02 --augment-tilt 0 --augment-freq-masks 0 --augment-time-masks 0
	# Then most voices are invented ones, and sentences are heard a few times. Guided attention makes the decoder listen: it holds
	# cross-attention near the frames that CTC aligned a token with.
	manifests=()
	for r in 0 1 2 3 4 5; do manifest 1 $r "${base[@]}"; done
	manifest 0.5 6 en
	for r in 0 1 2; do manifest 0.22 $r "${adapted[@]}"; done
	varied=(--batch-frames 4000 --warmup 200 --ctc-weight 0.5 --bpe-dropout 0.02
		--augment-gain 5 --augment-warp 0.05 --augment-freq-masks 0 --augment-time-masks 0)
	full base-2 --model "$data/base-1/model" --steps 24000 --learning-rate 6e-4 "${short[@]}" "${varied[@]}" --guide-weight 1 --floor 0.05
	full base-3 --model "$data/base-2/model" --steps 24000 --learning-rate 6e-4 "${short[@]}" "${varied[@]}" --guide-weight 0.5 --floor 0.02
	# At last it learns that silence around speech has no words. The base is the mean of this model and the one before.
	full base-4 --model "$data/base-3/model" --steps 6000 --learning-rate 3e-4 "${varied[@]}" --guide-weight 0.5 --floor 0.02 \
		--timestamps 0.2 --augment-silence 2 --no-speech 0.03
}

train_adapter() { # LANG
	manifests=()
	for r in 0 1 2 3; do manifest 1 $r "$1"; done
	run "$1" --kind lora --rank 3 --model "$data/base/model" --steps 1600 --batch-frames 2600 --warmup 60 \
		--ema 0.99 --timestamps 0.2 --augment-noise 0 --augment-silence 2 --augment-gain 4 --augment-warp 0.04 \
		--augment-freq-masks 0 --augment-time-masks 0
}

case $2 in
base) train_base ;;
adapter) train_adapter "$3" ;;
*) echo "train.sh: base or adapter, not $2" >&2; exit 2 ;;
esac
