package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

// element is an element of Matroska with a size of eight bytes, or of unknown size.
func element(id uint32, unknown bool, children ...[]byte) []byte {
	b := bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, id), "\x00")
	body := bytes.Join(children, nil)
	size := uint64(len(body))
	if unknown {
		size = 1<<56 - 1
	}
	return append(binary.BigEndian.AppendUint64(b, 1<<56|size), body...)
}

// mkvFile is a file of a video and an audio track, 1 and 2, and of these children of a cluster.
func mkvFile(unknown bool, codec string, private []byte, children ...[]byte) []byte {
	video := element(mkvTrackEntry, false, element(mkvTrackNumber, false, []byte{1}), element(mkvTrackType, false, []byte{1}), element(mkvCodecID, false, []byte("V_VP8")))
	sound := element(mkvTrackEntry, false, element(mkvTrackNumber, false, []byte{2}), element(mkvTrackType, false, []byte{mkvTypeAudio}),
		element(mkvCodecID, false, []byte(codec)), element(mkvCodecPrivate, false, private))
	return append(element(0x1a45dfa3, false, make([]byte, 9)),
		element(mkvSegment, unknown, element(0xec, false, make([]byte, 300)), element(mkvTracks, false, video, sound), element(mkvCluster, unknown, children...))...)
}

// mkvBlockOf is a block of a track.
func mkvBlockOf(id uint32, track, lacing byte, body ...[]byte) []byte {
	return element(id, false, append([]byte{0x80 | track, 0, 0, lacing << 1}, bytes.Join(body, nil)...))
}

// TestMatroskaBlocks counts the sound of blocks of every lacing, of which each packet is 120 ms.
func TestMatroskaBlocks(t *testing.T) {
	p := silentOpus
	n := byte(len(p))
	odd := append(bytes.Clone(p), 0) // a byte longer, of no meaning
	odd[1] |= 0x40                   // padding
	odd = append(odd[:2:2], append([]byte{0}, p[2:]...)...)
	head := opusHeadOf(1, 0, 0)
	for name, c := range map[string]struct {
		children [][]byte
		packets  float64
	}{
		"plain":         {[][]byte{mkvBlockOf(mkvSimpleBlock, 2, 0, p), mkvBlockOf(mkvSimpleBlock, 2, 0, p)}, 2},
		"other track":   {[][]byte{mkvBlockOf(mkvSimpleBlock, 1, 0, make([]byte, 5000)), mkvBlockOf(mkvSimpleBlock, 2, 0, p)}, 1},
		"Xiph lacing":   {[][]byte{mkvBlockOf(mkvSimpleBlock, 2, 1, []byte{2, n, n + 1}, p, odd, p)}, 3},
		"fixed lacing":  {[][]byte{mkvBlockOf(mkvSimpleBlock, 2, 2, []byte{2}, p, p, p)}, 3},
		"EBML lacing":   {[][]byte{mkvBlockOf(mkvSimpleBlock, 2, 3, []byte{2, 0x80 | n, 0x80 | (63 + 1)}, p, odd, p)}, 3},
		"group":         {[][]byte{element(mkvBlockGroup, false, mkvBlockOf(mkvBlock, 2, 0, p), element(0xfb, false, []byte{1}))}, 1},
		"discarded":     {[][]byte{element(mkvBlockGroup, false, mkvBlockOf(mkvBlock, 2, 0, p), element(mkvDiscardPadding, false, []byte{0x03, 0x93, 0x87, 0x00}))}, 0.5},
		"negative":      {[][]byte{element(mkvBlockGroup, false, mkvBlockOf(mkvBlock, 2, 0, p), element(mkvDiscardPadding, false, []byte{0xff}))}, 1},
		"discarded all": {[][]byte{mkvBlockOf(mkvSimpleBlock, 2, 0, p), element(mkvBlockGroup, false, mkvBlockOf(mkvBlock, 2, 0, p), element(mkvDiscardPadding, false, []byte{0x7f, 0, 0, 0, 0, 0}))}, 1},
	} {
		for _, unknown := range []bool{false, true} {
			pcm, err := decodeBytes(mkvFile(unknown, mkvOpus, head, c.children...))
			if want := time.Duration(c.packets * float64(120*time.Millisecond)); err != nil || pcm.Source.Duration != want {
				t.Errorf("%s, sizes unknown %v: %v, %v, want %v", name, unknown, pcm.Source.Duration, err, want)
			}
		}
	}
}

func TestMatroskaRefused(t *testing.T) {
	t.Setenv("PATH", "")
	head := opusHeadOf(1, 0, 0)
	block := mkvBlockOf(mkvSimpleBlock, 2, 0, silentOpus)
	whole := mkvFile(false, mkvOpus, head, block)
	for name, c := range map[string]struct {
		b    []byte
		want error
		text string
	}{
		"AAC":            {mkvFile(false, "A_AAC", nil, block), ErrNoFFmpeg, "A_AAC"},
		"Opus header":    {mkvFile(false, mkvOpus, head[:10], block), ErrNoFFmpeg, "A_OPUS"},
		"Vorbis headers": {mkvFile(false, mkvVorbis, []byte{2, 1, 1, 0, 0, 0}, block), ErrFormat, "Vorbis header"},
		"lacing":         {mkvFile(false, mkvOpus, head, mkvBlockOf(mkvSimpleBlock, 2, 1, []byte{200, 255})), ErrFormat, "lacing"},
		"cut":            {whole[:len(whole)-1], ErrTruncated, "ends within"},
		"cut between":    {whole[:len(whole)-len(block)], ErrTruncated, "promises"},
		"no blocks":      {mkvFile(false, mkvOpus, head), ErrEmpty, "without samples"},
		"no tracks":      {whole[:21], ErrFormat, "without a description"},
	} {
		if _, err := decodeBytes(c.b); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
		}
	}
	silent := mkvFile(false, mkvOpus, head, block)
	silent = bytes.Replace(silent, element(mkvTrackType, false, []byte{mkvTypeAudio}), element(mkvTrackType, false, []byte{17}), 1)
	if _, err := decodeBytes(silent); !errors.Is(err, errNoAudio) {
		t.Errorf("subtitles alone: %v, want errNoAudio", err)
	}
}
