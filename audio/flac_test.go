package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"
)

// flacValue is sample i of channel c of flacFile, a tone of half of full scale.
func flacValue(i, c, rate, bits int) int32 {
	return int32(math.Round(math.Sin(2*math.Pi*float64(200+100*c)*float64(i)/float64(rate)) * float64(int(1)<<(bits-2))))
}

// flacFile is a FLAC stream of n sample frames; its header says how many only if counted.
func flacFile(t testing.TB, rate, channels, bits, n int, counted bool) []byte {
	t.Helper()
	var b bytes.Buffer
	info := &meta.StreamInfo{BlockSizeMin: 16, BlockSizeMax: 4096, SampleRate: uint32(rate), NChannels: uint8(channels), BitsPerSample: uint8(bits)}
	if counted {
		info.NSamples = uint64(n)
	}
	e, err := flac.NewEncoder(&b, info)
	if err != nil {
		t.Fatal(err)
	}
	layout := []frame.Channels{frame.ChannelsMono, frame.ChannelsLR, frame.ChannelsLRC}[channels-1]
	for from := 0; from < n; from += 4096 {
		size := min(4096, n-from)
		f := &frame.Frame{Header: frame.Header{
			HasFixedBlockSize: true, BlockSize: uint16(size), SampleRate: uint32(rate), Channels: layout, BitsPerSample: uint8(bits),
		}}
		for c := range channels {
			sub := &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, NSamples: size}
			for i := range size {
				sub.Samples = append(sub.Samples, flacValue(from+i, c, rate, bits))
			}
			f.Subframes = append(f.Subframes, sub)
		}
		if err := e.WriteFrame(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFLAC(t *testing.T) {
	const n = 5000
	for _, channels := range []int{1, 2, 3} {
		for _, bits := range []int{8, 16, 24} {
			for _, counted := range []bool{true, false} {
				name := fmt.Sprintf("%d channels of %d bits", channels, bits)
				pcm, err := decodeBytes(flacFile(t, SampleRate, channels, bits, n, counted))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if len(pcm.Samples) != n || pcm.Source.Channels != channels || pcm.Source.Format != fmt.Sprintf("FLAC, %d-bit", bits) {
					t.Errorf("%s: %d samples of %+v", name, len(pcm.Samples), pcm.Source)
					continue
				}
				for i, v := range pcm.Samples {
					sum := 0.0
					for c := range channels {
						sum += math.Ldexp(float64(flacValue(i, c, SampleRate, bits)), 1-bits)
					}
					if want := sum / float64(channels); math.Abs(float64(v)-want) > 1e-7 {
						t.Errorf("%s: sample %d is %g, want %g", name, i, v, want)
						break
					}
				}
			}
		}
	}
	pcm, err := decodeBytes(flacFile(t, 48000, 2, 16, 48000, true))
	if err != nil {
		t.Fatal(err)
	}
	if level, _ := amplitude(pcm.Samples[2000:14000], 200); len(pcm.Samples) != SampleRate || math.Abs(level-0.25) > 1e-3 {
		t.Errorf("48 kHz: %d samples, level %g", len(pcm.Samples), level)
	}
}

func TestFLACTagged(t *testing.T) {
	b := flacFile(t, SampleRate, 1, 16, 5000, true)
	tagged := append([]byte("ID3\x04\x00\x00\x00\x00\x01\x02"), make([]byte, 130)...)
	tagged = append(append(tagged, b...), "TAG behind the end"...)
	pcm, err := decodeBytes(tagged)
	if err != nil || len(pcm.Samples) != 5000 {
		t.Errorf("%d samples, %v", len(pcm.Samples), err)
	}
}

func TestFLACDamaged(t *testing.T) {
	whole := flacFile(t, SampleRate, 1, 16, 10000, true)
	for n := 4; n < len(whole); n += 1 + n/20 {
		if _, err := decodeBytes(whole[:n]); !errors.Is(err, ErrTruncated) {
			t.Errorf("first %d of %d bytes: %v, want ErrTruncated", n, len(whole), err)
		}
	}
	_, err := decodeBytes(whole[:len(whole)-100])
	if want := "audio: truncated: header promises 10000 sample frames, file holds 8192"; err == nil || err.Error() != want {
		t.Errorf("cut file: %v, want %q", err, want)
	}
	open := flacFile(t, SampleRate, 1, 16, 10000, false)
	if _, err := decodeBytes(open[:len(open)-100]); !errors.Is(err, ErrTruncated) {
		t.Errorf("cut stream: %v, want ErrTruncated", err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	if _, err := decodeBytes(flipped); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "CRC") {
		t.Errorf("flipped bit: %v, want ErrFormat by CRC", err)
	}
	// Bytes 18 to 25 of the stream: rate (20 bits), channels-1 (3), bits-1 (5), sample count (36).
	lying := bytes.Clone(whole)
	facts := binary.BigEndian.Uint64(lying[18:])
	binary.BigEndian.PutUint64(lying[18:], facts|1<<35)
	if _, err := decodeBytes(lying); !errors.Is(err, ErrTruncated) {
		t.Errorf("lying count: %v, want ErrTruncated", err)
	}
	binary.BigEndian.PutUint64(lying[18:], facts^1<<41)
	if _, err := decodeBytes(lying); !errors.Is(err, ErrFormat) {
		t.Errorf("lying channels: %v, want ErrFormat", err)
	}
	if _, err := decodeBytes(flacFile(t, SampleRate, 1, 16, 0, true)); !errors.Is(err, ErrEmpty) {
		t.Errorf("no samples: %v, want ErrEmpty", err)
	}
}
