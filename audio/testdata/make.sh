#!/bin/sh
# Makes the sound files of this folder with ffmpeg 5.1 (libmp3lame, libopus, libvorbis, aac) and prints their checksums.
set -e
cd "$(dirname "$0")"

# chirp ARGS... OUT: one second from 200 to 2000 Hz at half of full scale.
chirp() {
	ffmpeg -nostdin -hide_banner -loglevel error -y -f lavfi -i "aevalsrc=$left:s=$rate:d=1" -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@"
}
mono='0.5*sin(2*PI*(200*t+900*t*t))'
rate=48000 left=$mono
chirp -c:a libmp3lame -b:a 48k chirp.mp3
chirp -c:a libopus -b:a 24k chirp.opus
chirp -c:a libopus -b:a 24k -frame_duration 60 -application voip chirp-60ms.opus
chirp -c:a libopus -b:a 24k -f webm chirp.webm
chirp -c:a libvorbis -q:a 0 chirp.ogg
chirp -c:a libvorbis -q:a 0 -f matroska chirp-vorbis.mka
chirp -c:a aac -b:a 32k chirp.m4a
chirp -c:a aac -b:a 32k -f adts chirp.aac
rate=22050
chirp -c:a libmp3lame -b:a 32k -write_xing 0 -id3v2_version 0 chirp-22050.mp3
rate=8000
chirp -c:a libmp3lame -b:a 16k chirp-8000.mp3
# Two channels, the right one half as loud.
rate=44100 left="$mono|0.25*sin(2*PI*(200*t+900*t*t))"
chirp -c:a libmp3lame -b:a 64k chirp-stereo.mp3
chirp -c:a libvorbis -q:a 0 chirp-stereo.ogg
rate=48000
chirp -c:a libopus -b:a 32k chirp-stereo.opus
sha256sum chirp*
