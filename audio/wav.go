package audio

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// WAV files are walked here and not by go-audio/wav: its parser trusts chunk sizes (it allocates by them), does not know RF64, an
// extensible header or a stream's open size, and ends a cut file without an error. Samples of integer PCM are then decoded by
// go-audio/wav, all other codings in wavcoding.go.

// wavHeader is what stands before the samples.
type wavHeader struct {
	coding     wavCoding
	channels   int
	rate       int   // Hz
	blockAlign int   // bytes of one sample frame
	dataSize   int64 // bytes of samples, or wavOpenEnd
}

// wavOpenEnd stands for a size that its writer never filled in: the samples go on to the end of the input.
const wavOpenEnd = -1

// Sizes that writers to a pipe put where they cannot seek back.
const (
	riffSizeUnknown = math.MaxUint32 // ffmpeg, and RF64 where ds64 holds the true size
	riffSizeSox     = 0x7ffff000     // SoX and eSpeak NG, in the data chunk
)

// wavReader counts the bytes read of a RIFF file.
type wavReader struct {
	r   *bufio.Reader
	pos int64
}

// full reads len(p) bytes, which belong to what; a shorter input is ErrTruncated.
func (w *wavReader) full(p []byte, what string) error {
	n, err := io.ReadFull(w.r, p)
	w.pos += int64(n)
	if isEOF(err) {
		return fmt.Errorf("%w: WAV ends within its %s, at byte %d", ErrTruncated, what, w.pos)
	}
	if err != nil {
		return fmt.Errorf("audio: read WAV: %w", err)
	}
	return nil
}

// skip discards n bytes, which belong to what.
func (w *wavReader) skip(n int64, what string) error {
	skipped, err := io.CopyN(io.Discard, w.r, n)
	w.pos += skipped
	if isEOF(err) {
		return fmt.Errorf("%w: %s promises %d bytes, file holds %d", ErrTruncated, what, n, skipped)
	}
	if err != nil {
		return fmt.Errorf("audio: read WAV: %w", err)
	}
	return nil
}

// decodeWAV decodes the RIFF/WAVE, RF64 or BW64 file in r.
func decodeWAV(r *bufio.Reader, s *sink) error {
	w := &wavReader{r: r}
	h, err := w.header()
	if err != nil {
		return err
	}
	if err := s.open("WAV, "+h.coding.name, h.rate, h.channels); err != nil {
		return err
	}
	data := &wavData{r: r, size: h.dataSize, blockAlign: h.blockAlign}
	if err := h.coding.decode(h, data, s); err != nil {
		return err
	}
	return data.err
}

// header walks the chunks up to the samples.
func (w *wavReader) header() (*wavHeader, error) {
	var b [12]byte
	if err := w.full(b[:], "header"); err != nil {
		return nil, err
	}
	riffSize := int64(binary.LittleEndian.Uint32(b[4:]))
	var (
		h        *wavHeader
		ds64Data int64 = wavOpenEnd
		ds64Seen bool
	)
	for {
		id, size, err := w.chunk(riffSize, h != nil)
		if err != nil {
			return nil, err
		}
		switch {
		case id == "ds64" && !ds64Seen && string(b[:4]) != "RIFF":
			if riffSize, ds64Data, err = w.ds64(size); err != nil {
				return nil, err
			}
			ds64Seen = true
		case id == "fmt " && h == nil:
			if h, err = w.format(size); err != nil {
				return nil, err
			}
		case id == "data" && h == nil:
			return nil, fmt.Errorf("%w: WAV whose data chunk precedes its fmt chunk", ErrFormat)
		case id == "data":
			h.dataSize = w.dataSize(size, riffSize, ds64Data)
			return h, nil
		default:
			if err := w.skip(size+size&1, fmt.Sprintf("WAV chunk %q", id)); err != nil {
				return nil, err
			}
		}
	}
}

// chunk reads the header of the next chunk. At the end of the input it tells a cut file from one that never had the chunks.
func (w *wavReader) chunk(riffSize int64, formatSeen bool) (id string, size int64, err error) {
	if _, err := w.r.Peek(1); err == io.EOF {
		missing := "fmt"
		if formatSeen {
			missing = "data"
		}
		if end := riffSize + 8; end > w.pos && riffSize != riffSizeUnknown {
			return "", 0, fmt.Errorf("%w: header promises a file of %d bytes, file holds %d and no %s chunk",
				ErrTruncated, end, w.pos, missing)
		}
		return "", 0, fmt.Errorf("%w: WAV without %s chunk", ErrFormat, missing)
	}
	var b [8]byte
	if err := w.full(b[:], "chunk header"); err != nil {
		return "", 0, err
	}
	return string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:])), nil
}

// ds64 reads the 64-bit sizes of RF64 and BW64 (EBU Tech 3306): of the file, less 8, and of the data chunk.
func (w *wavReader) ds64(size int64) (riffSize, dataSize int64, err error) {
	var b [16]byte
	if size < int64(len(b)) {
		return 0, 0, fmt.Errorf("%w: WAV ds64 chunk of %d bytes, want %d", ErrFormat, size, len(b))
	}
	if err := w.full(b[:], "ds64 chunk"); err != nil {
		return 0, 0, err
	}
	riff, data := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	if riff > math.MaxInt64/2 || data > math.MaxInt64/2 {
		return 0, 0, fmt.Errorf("%w: WAV ds64 chunk promises %d bytes of samples", ErrFormat, data)
	}
	return int64(riff), int64(data), w.skip(size+size&1-int64(len(b)), "WAV ds64 chunk")
}

// dataSize interprets the size of the data chunk whose samples follow: size unless it is a place-holder.
func (w *wavReader) dataSize(size, riffSize, ds64Data int64) int64 {
	switch {
	case size == riffSizeUnknown:
		return ds64Data // wavOpenEnd without ds64
	case size == riffSizeSox && riffSize == size+w.pos-8:
		return wavOpenEnd
	case size == 0 && (riffSize == 0 || riffSize == riffSizeUnknown || riffSize+8 <= w.pos):
		// Both sizes say that nothing follows, as written before the first sample: believe what follows instead.
		return wavOpenEnd
	}
	return size
}

// The registered codings (RFC 2361) that are read, and the extensible header that names one of them in a GUID.
const (
	tagPCM        = 0x0001
	tagFloat      = 0x0003
	tagALaw       = 0x0006
	tagMuLaw      = 0x0007
	tagExtensible = 0xfffe
)

// extensibleGUID follows the two bytes of the tag in an extensible header's SubFormat.
const extensibleGUID = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// format reads the fmt chunk: WAVEFORMAT, WAVEFORMATEX or WAVEFORMATEXTENSIBLE.
func (w *wavReader) format(size int64) (*wavHeader, error) {
	const (
		plain      = 16
		extensible = 40
	)
	if size < plain {
		return nil, fmt.Errorf("%w: WAV fmt chunk of %d bytes, want %d", ErrFormat, size, plain)
	}
	var b [extensible]byte
	n := min(size, extensible)
	if err := w.full(b[:n], "fmt chunk"); err != nil {
		return nil, err
	}
	if err := w.skip(size+size&1-n, "WAV fmt chunk"); err != nil {
		return nil, err
	}
	tag := binary.LittleEndian.Uint16(b[0:])
	rate := binary.LittleEndian.Uint32(b[4:])
	bits := int(binary.LittleEndian.Uint16(b[14:]))
	if tag == tagExtensible {
		if n < extensible || string(b[26:extensible]) != extensibleGUID {
			return nil, fmt.Errorf("%w: WAV with an extensible header of unknown coding", ErrFormat)
		}
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	h := &wavHeader{
		channels:   int(binary.LittleEndian.Uint16(b[2:])),
		rate:       int(min(rate, math.MaxInt32)),
		blockAlign: int(binary.LittleEndian.Uint16(b[12:])),
	}
	if h.channels == 0 {
		return nil, fmt.Errorf("%w: WAV of 0 channels", ErrFormat)
	}
	width := (bits + 7) / 8 // samples fill whole bytes from the top
	var err error
	if h.coding, err = wavCodingOf(tag, bits, width); err != nil {
		return nil, err
	}
	if frame := width * h.channels; h.blockAlign != frame && h.blockAlign != 0 {
		return nil, fmt.Errorf("%w: WAV of %d channels of %s in blocks of %d bytes, want %d",
			ErrFormat, h.channels, h.coding.name, h.blockAlign, frame)
	}
	h.blockAlign = width * h.channels
	return h, nil
}

// wavData reads the samples of a data chunk, in whole sample frames. Its Read fills p as far as the chunk goes, and ends with io.EOF
// when the chunk is over or the input fails; err then tells how it ended: nil for a whole chunk.
type wavData struct {
	r          io.Reader
	size       int64 // bytes promised, or wavOpenEnd
	blockAlign int
	held       int64 // bytes read
	err        error
	over       bool
}

func (d *wavData) Read(p []byte) (int, error) {
	if d.over {
		return 0, io.EOF
	}
	p = p[:len(p)/d.blockAlign*d.blockAlign]
	if d.size != wavOpenEnd {
		p = p[:min(int64(len(p)), d.size-d.held)]
	}
	n, err := io.ReadFull(d.r, p)
	d.held += int64(n)
	switch {
	case err != nil && !isEOF(err):
		d.err, d.over = fmt.Errorf("audio: read WAV: %w", err), true
	case err != nil:
		d.over = true
		if d.size != wavOpenEnd {
			d.err = promised(d.size, d.held, "bytes of samples")
		}
	case d.held == d.size:
		d.over = true
	}
	n = n / d.blockAlign * d.blockAlign
	if n == 0 {
		d.over = true
		return 0, io.EOF
	}
	return n, nil
}
