#!/usr/bin/env bash
# Runs what carry.sh has gathered on a machine with a GPU, and prints one table of figures beside their limits. What
# it measures stays in results/, beside this file or in $OUT.
#
#   DEVICE       what is measured, cuda:0 unless set; cpu tries the script without a GPU
#   PARTS        of: tests sanitizer bench adapters peers table; all unless set
#   GEOMETRIES   models, tiny to large-v3 and turbo unless set
#   BATCHES      windows decoded together, 1 and 64 unless set
#   RANKS        of adapters that are compared with torch.bmm, 1,2,4,8,16,32,64 unless set; of turbo, or the first model
#   SECONDS_EACH how long a measurement is repeated, 5 unless set
#   SANITIZERS   tools of compute-sanitizer, memcheck and racecheck unless set; SANITIZER_SECONDS is the time that each has, 1800 unless set
set -uo pipefail
cd "$(dirname "$0")"
device=${DEVICE:-cuda:0}
parts=" ${PARTS:-tests sanitizer bench adapters peers table} "
geometries=${GEOMETRIES:-tiny base small medium large-v3 turbo}
batches=${BATCHES:-1 64}
ranks=${RANKS:-1,2,4,8,16,32,64}
ranked=$([[ " $geometries " == *" turbo "* ]] && echo turbo || echo "${geometries%% *}")
seconds=${SECONDS_EACH:-5}
results=${OUT:-$PWD/results}
root=$PWD
failed=0
mkdir -p "$results"

say() { echo "run: $*" >&2; }
part() { [[ $parts == *" $1 "* ]]; }

# cublas prints the folder of the newest libcublas there is: in CUDA's own folders, the system's, and pip's.
cublas() {
	local python
	python=$(python3 -c 'import site, sys; print(*site.getsitepackages(), site.getusersitepackages())' 2>/dev/null)
	for version in 13 12 11; do
		for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib /usr/lib/*-linux-gnu /usr/lib64 /opt/cuda/lib64; do
			[ -e "$folder/libcublas.so.$version" ] && echo "$folder" && return
		done
		for folder in $python; do
			found=$(find "$folder/nvidia" -name "libcublas.so.$version" -print -quit 2>/dev/null)
			[ -n "$found" ] && dirname "$found" && return
		done
	done
}

if [ "$device" != cpu ]; then
	export GLOSSA_REQUIRE_GPU=1
	folder=$(cublas)
	if [ -n "$folder" ]; then
		say "libcublas is in $folder"
		export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
	else
		say "no libcublas was found; LD_LIBRARY_PATH has to name its folder"
	fi
	nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null | tee "$results/gpu.txt" >&2
fi
[ -d golden ] && export GLOSSA_GOLDEN="$root/golden"
export XDG_CACHE_HOME="$results/cache"
./glossa version | tee "$results/version.txt" >&2

# tests runs the tests of a package in its folder, behind a command if one is given.
tests() {
	local package=$1 log=$2 began=$SECONDS status=0
	shift 2
	(cd "tree/$package" && "$@") >"$log" 2>&1 || status=$?
	local ok bad skipped
	ok=$(grep -c '^--- PASS' "$log") bad=$(grep -c '^ *--- FAIL' "$log") skipped=$(grep -c '^ *--- SKIP' "$log")
	say "tests of $package: $ok passed, $bad failed, $skipped skipped in $((SECONDS - began)) s$([ $status = 0 ] || echo ", exit status $status: $log")"
	printf '%s\t%s\t%s\t%s\t%s\n' "$package" "$ok" "$bad" "$skipped" "$status" >>"$results/tests.tsv"
	[ $status = 0 ] || failed=1
}

if part tests; then
	: >"$results/tests.tsv"
	while read -r package; do
		tests "$package" "$results/test-${package//\//-}.log" ./tests -test.v -test.timeout 20m
	done <packages
fi

# What of the tests of cuda runs under compute-sanitizer, where it takes tens of times as long: parts that run side by side.
sanitized=(
	'^TestConformance$/^(Linear|MatMul|Add|Scale|AddBias)$'
	'^TestConformance$/^(LayerNorm|GELU|LogSoftmax|Attention.*)$'
	'^TestConformance$/^PackedAttention$'
	'^TestConformance$/^(LinearGELU|ScaledLinear|LowRankLinear|AddRows|Mix)$'
	'^TestConformance$/^(Embed.*|Unfold|Chooser|Pick|LogMel|NotFinite)$'
	'^TestConformance$/^Gradients$'
	'^Test(Attention|SharedPackedKeys|Few|Product|Short|LowRank)'
	'^Test(Graphs|SteadyStep|F16|Formats|Pick|LogMel|HotAdapters|RowsAre|OutOfMemory)'
)

if part sanitizer && [ "$device" != cpu ]; then
	sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | tail -1)
	if [ -n "$sanitizer" ]; then
		for tool in ${SANITIZERS:-memcheck racecheck}; do
			: >"$results/sanitizer-$tool.tsv"
			for i in "${!sanitized[@]}"; do
				log=$results/sanitizer-$tool-$i.log
				(
					cd tree/whisper/tensor/cuda
					timeout "${SANITIZER_SECONDS:-1800}" "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 9 \
						./tests -test.v -test.short -test.run "${sanitized[i]}" >"$log" 2>&1
					printf '%s\t%s\t%s\n' $? "${sanitized[i]}" "$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$log" | tail -1)" >>"$results/sanitizer-$tool.tsv"
				) &
			done
			wait
			say "$tool: exit status, tests, outcome"
			cat "$results/sanitizer-$tool.tsv" >&2
			grep -q -v '^0	' "$results/sanitizer-$tool.tsv" && failed=1
		done
	else
		say "compute-sanitizer is not here"
	fi
fi

# measure has glossa measure something, and keeps what it prints.
measure() {
	local name=$1
	shift
	say "$name"
	if ! ./glossa bench --device "$device" --seconds "$seconds" --json "$@" >"$results/$name.json" 2>"$results/$name.err"; then
		say "$name: $(tail -n 1 "$results/$name.err")"
		failed=1
	fi
}

commas() { echo "${*// /,}"; }

if part bench; then
	for geometry in $geometries; do
		measure "bench-$geometry" --geometry "$geometry" --batch "$(commas "$batches")"
	done
fi

if part adapters; then
	for geometry in $geometries; do
		for batch in $batches; do
			measure "flora-$geometry-$batch" --geometry "$geometry" --adapters 32 --kind flora --rank 1 --phase decode --batch "$batch"
			measure "lora-$geometry-$batch" --geometry "$geometry" --adapters 32 --kind lora --rank 8 --phase decode --batch "$batch"
		done
	done
	for kind in flora lora; do
		measure "ranks-$kind" --geometry "$ranked" --adapters 32 --kind $kind --rank "$ranks" --phase decode --batch 64
	done
fi

if part peers; then
	for peer in peers/*.py; do
		name=$(basename "$peer" .py)
		say "$name"
		if ! python3 "$peer" >"$results/peer-$name.json" 2>"$results/peer-$name.err"; then
			say "$name: $(tail -n 1 "$results/peer-$name.err")"
			rm -f "$results/peer-$name.json"
		fi
	done
fi

if part table; then
	./table "$results" | tee "$results/table.txt"
	./glossa experiment ranks "$results" --out "$results/ranks.svg" && say "$results/ranks.svg shows speed over ranks"
fi
exit $failed
