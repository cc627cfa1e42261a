#!/usr/bin/env bash
# Remakes the embedded model from nothing: sentences out of Debian's packages, their speech by
# synthesisers, the base model, an adapter for each further language, and the test set. It takes the
# packages of recipe/packages.txt, 25 GB in DATA, and about nine hours on two cores. Stages that are
# done are passed over, and a training that was stopped goes on from its last checkpoint, when the
# script is run again. Given stages, it runs those alone.
#
#	whisper/nano/build.sh [DATA [STAGE…]]	stages: packages texts corpus program base adapters testset
set -euo pipefail
cd "$(dirname "$0")/../.."
recipe=$PWD/whisper/nano/recipe
data=${1:-nano-data}
stages=("${@:2}")
[ ${#stages[@]} -gt 0 ] || stages=(packages texts corpus program base adapters testset)
base=en,de,es,fr,pl,hi
adapted=(ca cs fi it mr ru)
mkdir -p "$data"
data=$(cd "$data" && pwd)

packages() {
	[ "$(id -u)" != 0 ] || xargs apt-get install -y --no-install-recommends <"$recipe/packages.txt"
}

# texts takes the packages whose texts are translated, without installing them.
texts() {
	[ ! -e "$data/open/sources.json" ] || return 0
	mkdir -p "$data/packages"
	(cd "$data/packages" && /usr/bin/python3 -c 'import json, sys; print(*json.load(open(sys.argv[1])))' "$recipe/sources.json" | xargs apt-get download)
	/usr/bin/python3 "$recipe/sentences.py" --packages "$data/packages" --out "$data/open"
}

speak() { /usr/bin/python3 "$recipe/corpus.py" "$1" --out "$data" "${@:2}"; }

# spoken makes a round in which COUNT sentences are spoken in each of these languages, unless it is there.
spoken() { # ROUND COUNT LANGUAGES RECORDED INVENTED
	[ -e "$data/train.${3##*,}.r$1.jsonl" ] || speak train --round "$1" --count "$2" --languages "$3" --recorded "$4" --invented "$5"
}

corpus() {
	local others r
	others=$(IFS=,; echo "${adapted[*]}")
	[ -e "$data/test.jsonl" ] || speak held-out
	spoken 0 3000 "$base" 0.2 0.3
	spoken 0 1500 "$others" 0.2 0.3
	for r in 1 2 3 4 5; do spoken "$r" 7500 "$base" 0.18 0.85; done
	for r in 1 2 3; do spoken "$r" 3000 "$others" 0.18 0.85; done
	# English has many recorded voices, each of them seldom.
	spoken 6 4000 en 1 0
}

program() { go build -o "$data/glossa" ./cmd/glossa; }

base() {
	"$recipe/train.sh" "$data" base
	go run ./whisper/nano/recipe -model "$data/base-3/model" -mean-with "$data/base-4/model" -out "$data/base/model"
	go run ./whisper/nano/recipe -model "$data/base/model" -languages "$base" -out whisper/nano/model
}

adapters() {
	local lang
	for lang in "${adapted[@]}"; do
		"$recipe/train.sh" "$data" adapter "$lang"
		go run ./whisper/nano/recipe -adapter "$data/$lang/model" -trained-over "$data/base/model" -base whisper/nano/model -out "whisper/nano/adapters/$lang"
	done
}

testset() {
	speak summary
	/usr/bin/python3 "$recipe/corpus.py" test --data "$data" --out testdata/multilingual
	go run ./cmd/glossa eval testdata/multilingual/manifest.jsonl
}

for stage in "${stages[@]}"; do "$stage"; done
