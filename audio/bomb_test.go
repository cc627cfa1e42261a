package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"
)

// peakHeap runs f and returns by how much the live heap grew meanwhile, at most. Garbage is collected early, so that it hardly counts.
func peakHeap(f func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(heap)
	before, peak := heap[0].Value.Uint64(), uint64(0)
	done := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				metrics.Read(heap)
				peak = max(peak, heap[0].Value.Uint64())
			}
		}
	})
	f()
	close(done)
	sampling.Wait()
	return int64(peak) - int64(before)
}

// endless repeats some bytes, if any, behind others, up to a number of bytes in all.
type endless struct {
	front, again []byte
	left         int64
}

func (e *endless) Read(p []byte) (n int, err error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	for n < len(p) {
		if len(e.front) == 0 {
			if e.front = e.again; len(e.front) == 0 {
				e.left = 0
				return n, nil
			}
		}
		k := copy(p[n:], e.front)
		n, e.front = n+k, e.front[k:]
	}
	n = int(min(int64(n), e.left))
	e.left -= int64(n)
	return n, nil
}

// silentFLAC lasts so long in few bytes: every frame says that its samples are all alike.
func silentFLAC(t testing.TB, rate, seconds int) []byte {
	t.Helper()
	const block = 1 << 15
	var b bytes.Buffer
	e, err := flac.NewEncoder(&b, &meta.StreamInfo{BlockSizeMin: block, BlockSizeMax: block, SampleRate: uint32(rate), NChannels: 1, BitsPerSample: 16})
	if err != nil {
		t.Fatal(err)
	}
	sub := &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredConstant}, NSamples: block, Samples: make([]int32, block)}
	for range seconds * rate / block {
		f := &frame.Frame{Header: frame.Header{
			HasFixedBlockSize: true, BlockSize: block, SampleRate: uint32(rate), Channels: frame.ChannelsMono, BitsPerSample: 16,
		}, Subframes: []*frame.Subframe{sub}}
		if err := e.WriteFrame(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBombs decodes small inputs that claim or last much. Each may cost what its Limits allow and a fixed amount, as Decode states.
func TestBombs(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: memory without the race detector's own absent")
	}
	const (
		minutes = 1
		fixed   = 16 << 20
		allowed = minutes * 60 * SampleRate * 4
	)
	le := binary.LittleEndian
	lyingFLAC := flacFile(t, 44100, 2, 16, 5000, true)
	// Bytes 18 to 25: rate (20 bits), channels-1 (3), bits-1 (5), sample count (36). The greatest of each that the reader accepts.
	binary.BigEndian.PutUint64(lyingFLAC[18:], 655350<<44|7<<41|15<<36|1<<36-1)
	hugeWAV := riffFile(chunk("fmt ", fmtBody(tagPCM, 2, 48000, 16)), chunk("data", make([]byte, 4000)))
	le.PutUint32(hugeWAV[4:], 0xfffffff0)
	le.PutUint32(hugeWAV[40:], 0xffffffcc)
	opusStart := append(oggPageOf(oggFirst, 0, 7, opusHeadOf(2, 312, 0)), oggPageOf(0, 0, 7, opusTags)...)
	opusPage := oggPageOf(0, oggNoGranule, 7, bytes.Split(bytes.Repeat(append(silentOpus, '|'), 255), []byte("|"))[:255]...)
	mp3Frame := append([]byte{0xff, 0xfb, 0x10, 0xc0}, make([]byte, 144*32000/44100-4)...)
	vorbis := func(setup string) []byte {
		id := append([]byte(vorbisMagic), 0, 0, 0, 0, 2, 0x44, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb8, 1)
		comment := []byte("\x03vorbis\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff\xff\x01")
		return append(oggPageOf(oggFirst, 0, 5, id), oggPageOf(0, 0, 5, comment, []byte("\x05vorbis"+setup))...)
	}
	mkv := ebmlMagic + "\x80" + "\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" // of unknown size
	for _, c := range []struct {
		name  string
		input *endless
		want  error
		peak  int64
	}{
		{"silent Opus", &endless{opusStart, opusPage, 4 << 20}, ErrTooLong, allowed + fixed},
		{"silent MP3", &endless{mp3Frame, mp3Frame, 1 << 30}, ErrTooLong, allowed + fixed},
		{"silent FLAC", &endless{silentFLAC(t, SampleRate, minutes*60+10), nil, 1 << 20}, ErrTooLong, allowed + fixed},
		{"silent FLAC at 655 kHz", &endless{silentFLAC(t, 655350, 20), nil, 1 << 20}, nil, allowed + fixed},
		{"FLAC of lying rate and channels", &endless{lyingFLAC, nil, int64(len(lyingFLAC))}, ErrFormat, fixed},
		{"WAV that claims 4 GB", &endless{hugeWAV, nil, int64(len(hugeWAV))}, ErrTruncated, fixed},
		{"WAV of 4 GB of silence", &endless{hugeWAV[:44], make([]byte, 4096), 4 << 30}, ErrTooLong, allowed + fixed},
		{"Vorbis codebook of 2^24 entries", &endless{vorbis("\x00BCV\x01\x00\xff\xff\xff\x00"), nil, 400}, ErrFormat, fixed},
		{"Vorbis codebook of no entries", &endless{vorbis("\x00BCV\x01\x00\x00\x00\x00\x00"), nil, 400}, ErrFormat, fixed},
		{"Vorbis codebook of an empty code", &endless{vorbis("\x00BCV\x01\x00\x08\x00\x00\x02\x00"), nil, 400}, ErrFormat, fixed},
		{"Ogg packet without end", &endless{opusStart, oggPageFull(7), 64 << 20}, ErrTruncated, fixed},
		{"ID3 tag of 256 MB", &endless{[]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f"), []byte("x"), 300 << 20}, ErrFormat, fixed},
		{"junk behind an MP3", &endless{bytes.Repeat(mp3Frame, 2), []byte{0xff, 0xe0, 1}, 4 << 20}, nil, fixed},
		{"Matroska element of 2^48 bytes", &endless{[]byte(mkv + "\x16\x54\xae\x6b\x01\x00\xff\xff\xff\xff\xff\xff"), []byte("x"), 64 << 20}, ErrFormat, fixed},
		{"Matroska void of 2^48 bytes", &endless{[]byte(mkv + "\xec\x01\x00\xff\xff\xff\xff\xff\xff"), []byte("x"), 1000}, ErrTruncated, fixed},
	} {
		var err error
		peak := peakHeap(func() { _, err = Decode(c.input, Limits{MaxDuration: minutes * time.Minute, MaxBytes: 8 << 30}) })
		t.Logf("%-34s peak %5.1f MB of %5.1f, %v", c.name, float64(peak)/1e6, float64(c.peak)/1e6, err)
		if !errors.Is(err, c.want) || strings.Contains(errorText(err), "panic") {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if peak > c.peak {
			t.Errorf("%s: %d bytes, want at most %d", c.name, peak, c.peak)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// oggPageFull is a page whose only packet neither begins nor ends on it.
func oggPageFull(serial uint32) []byte {
	b := oggPageOf(oggContinued, oggNoGranule, serial, make([]byte, 254*255))
	b = append(b[:oggHeaderSize+255], make([]byte, 255*255)...)
	b[oggHeaderSize+254] = 255
	b[26] = 255
	sealOgg(b)
	return b
}
