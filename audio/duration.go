package audio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"time"
)

// Bounds of what is believed, and of what is read for it.
const (
	maxStated  = 1000 * time.Hour
	oggTail    = 2 * (oggHeaderSize + 255 + 255*255) // holds a whole page, wherever pages begin
	maxMKVInfo = 1 << 16
)

// StatedDuration returns how long the sound of a file lasts by what its headers state, for a few reads: nothing is decoded. A header may lie, and
// an MP3 of a changing bit rate that does not tell its frames is taken for one of a constant one: it is good for plans, and for no limit. !ok
// where nothing is stated, or by a format that this package does not read itself.
func StatedDuration(r io.ReaderAt, size int64) (d time.Duration, ok bool) {
	section := io.NewSectionReader(r, 0, size)
	br := bufio.NewReaderSize(section, sniffLength)
	found, err := sniff(br)
	if err != nil {
		return 0, false
	}
	left := func() int64 {
		at, _ := section.Seek(0, io.SeekCurrent)
		return size - at + int64(br.Buffered())
	}
	var seconds float64
	switch found.kind {
	case kindWAV:
		seconds = statedWAV(br, left)
	case kindFLAC:
		seconds = statedFLAC(br)
	case kindMP3:
		seconds = statedMP3(br, left)
	case kindOgg:
		seconds = statedOgg(br, r, size)
	case kindMatroska:
		seconds = statedMatroska(br)
	}
	if !(seconds > 0 && seconds <= maxStated.Seconds()) {
		return 0, false
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), true
}

// What follows returns seconds, 0 or NaN where nothing is stated. left is the number of bytes that were not read yet.

func statedWAV(r *bufio.Reader, left func() int64) float64 {
	h, err := (&wavReader{r: r}).header()
	if err != nil || h.blockAlign <= 0 {
		return 0
	}
	data := left()
	if h.dataSize != wavOpenEnd {
		data = min(data, h.dataSize)
	}
	return float64(data/int64(h.blockAlign)) / float64(h.rate)
}

func statedFLAC(r io.Reader) float64 {
	p := &flacParser{in: failure{r: r}}
	if err := p.header(); err != nil {
		return 0
	}
	return float64(p.stream.Info.NSamples) / float64(p.stream.Info.SampleRate)
}

func statedMP3(r *bufio.Reader, left func() int64) float64 {
	m := &mp3Frames{r: r}
	frame, h, err := m.next()
	if err != nil {
		return 0
	}
	info, _ := parseMP3Info(frame, h)
	samples := int64(info.frames)*int64(h.samples()) - int64(info.delay+info.padding)
	if info.frames == 0 {
		samples = (left() + int64(h.size)) / int64(h.size) * int64(h.samples())
	}
	return float64(samples) / float64(h.rate)
}

// statedOgg takes the time of the last page of the first stream that is read here (RFC 3533, section 6).
func statedOgg(r *bufio.Reader, file io.ReaderAt, size int64) float64 {
	o := &oggReader{r: r}
	for {
		p, err := o.next()
		if err != nil || p.flags&oggFirst == 0 {
			return 0
		}
		rate, skipped := 0.0, 0.0
		if head, err := parseOpusHead(p.body); err == nil {
			rate, skipped = opusRate, float64(head.preSkip)
		} else if has(p.body, 0, vorbisMagic) && len(p.body) >= 16 {
			rate = float64(binary.LittleEndian.Uint32(p.body[12:])) // Vorbis I, section 4.2.2
		}
		if rate > 0 {
			return (float64(lastGranule(file, size, p.serial)) - skipped) / rate
		}
	}
}

// lastGranule returns the granule position of the last page of a stream that has one, 0 where it is not near the end.
func lastGranule(file io.ReaderAt, size int64, serial uint32) int64 {
	tail := make([]byte, min(size, oggTail))
	n, err := file.ReadAt(tail, size-int64(len(tail)))
	if err != nil && err != io.EOF {
		return 0
	}
	for tail = tail[:n]; ; {
		at := bytes.LastIndex(tail, []byte("OggS\x00"))
		if at < 0 {
			return 0
		}
		if page := tail[at:]; len(page) >= oggHeaderSize && binary.LittleEndian.Uint32(page[14:]) == serial {
			if granule := int64(binary.LittleEndian.Uint64(page[6:])); granule >= 0 {
				return granule
			}
		}
		tail = tail[:at+4]
	}
}

// statedMatroska takes the duration of the segment (RFC 9559, section 5.1.2).
func statedMatroska(r *bufio.Reader) float64 {
	const (
		info     = 0x1549a966
		scale    = 0x2ad7b1 // nanoseconds of a unit
		duration = 0x4489   // units, a floating-point number
	)
	m := &mkvReader{r: r}
	for {
		id, size, err := m.element()
		switch {
		case err != nil || id == mkvCluster:
			return 0
		case id == mkvSegment:
			continue
		case id != info:
			if size == mkvUnknown || m.skip(size) != nil {
				return 0
			}
			continue
		}
		b, err := m.body(id, size, maxMKVInfo)
		if err != nil {
			return 0
		}
		unit, units := 1e6, 0.0
		for len(b) > 0 {
			child, body, rest, err := mkvChild(b)
			if err != nil {
				return 0
			}
			switch {
			case child == scale:
				unit = float64(mkvUint(body))
			case child == duration && len(body) == 4:
				units = float64(math.Float32frombits(binary.BigEndian.Uint32(body)))
			case child == duration && len(body) == 8:
				units = math.Float64frombits(binary.BigEndian.Uint64(body))
			}
			b = rest
		}
		return units * unit / 1e9
	}
}
