#!/usr/bin/env bash
# Gathers in one tar file what is run on a machine that has a GPU, a driver and the CUDA libraries, but neither Go nor
# a network: test binaries with the data that they need, glossa, and run.sh. README.md says how to use it.
#
#   carry.sh [FILE]     FILE is glossa-gpu.tar.xz unless named; its ending says how it is compressed
#
# CARRY_TAGS are the build tags, cuda unless set; set to nothing, all runs on the processor, to try the script itself.
set -euo pipefail
out=$(realpath -m "${1:-glossa-gpu.tar.xz}")
cd "$(dirname "$0")/../../.."
tags=${CARRY_TAGS-cuda}
most=60 # MiB

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
to=$dir/glossa-gpu
export CGO_CFLAGS="-O2 -g -I$PWD/whisper/tensor/cuda/include"
build=(-tags "$tags" -trimpath "-ldflags=-s -w")

mkdir -p "$to/tree"
for package in ${CARRY_PACKAGES:-whisper/tensor/cuda whisper/tensor/cuda/internal/driver whisper/tensor/cuda/internal/kernels whisper flora flora/train asr}; do
	echo "carry: tests of $package" >&2
	mkdir -p "$to/tree/$package"
	go test -c "${build[@]}" -o "$to/tree/$package/tests" "./$package"
	[ ! -e "$to/tree/$package/tests" ] && continue # it has none with these tags
	echo "$package" >>"$to/packages"
	for data in "$package"/testdata "$package"/*.ptx; do
		[ -e "$data" ] && cp -r "$data" "$to/tree/$package/"
	done
done
cp -r testdata "$to/tree/"
if [ -n "${GLOSSA_GOLDEN-}" ]; then
	cp -r "$GLOSSA_GOLDEN" "$to/golden"
fi
echo "carry: glossa" >&2
go build "${build[@]}" -o "$to/glossa" ./cmd/glossa
go build -trimpath "-ldflags=-s -w" -o "$to/table" ./whisper/tensor/cuda/internal/carried
cp -r whisper/tensor/cuda/peers "$to/"
cp whisper/tensor/cuda/run.sh "$to/"
git rev-parse HEAD >"$to/revision" 2>/dev/null || true

# What several files hold, such as the embedded model, is stored once: the window is larger than all of them.
XZ_OPT=${XZ_OPT---lzma2=preset=4,dict=256MiB} tar -C "$dir" -caf "$out" glossa-gpu
size=$(($(stat -c %s "$out") >> 20))
if [ "$size" -gt "$most" ]; then
	echo "carry: $out has $size MiB, more than $most; leave packages out by CARRY_PACKAGES" >&2
	exit 1
fi
echo "$out: $size MiB; on the machine with the GPU: tar xf $(basename "$out") && glossa-gpu/run.sh" >&2
