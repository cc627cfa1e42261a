package audio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"time"
)

// blocks passes the packets of a track to codec. A block waits for the element behind it, which may say how much of it to discard.
func (m *mkvReader) blocks(number uint64, codec mkvCodec) error {
	var waiting [][]byte
	discard := time.Duration(0)
	deliver := func() error {
		packets, cut := waiting, discard
		waiting, discard = nil, 0
		if packets == nil {
			return nil
		}
		return codec.block(packets, cut)
	}
	for {
		id, size, err := m.element()
		if err == io.EOF {
			return deliver()
		}
		if err != nil {
			return err
		}
		switch id {
		case mkvSegment, mkvCluster, mkvBlockGroup: // their children follow
			err = deliver()
		case mkvSimpleBlock, mkvBlock:
			if err = deliver(); err == nil {
				waiting, err = m.block(id, size, number)
			}
		case mkvDiscardPadding:
			var b []byte
			b, err = m.body(id, size, 8)
			discard = time.Duration(int64(mkvUint(b)<<(64-8*len(b))) >> (64 - 8*len(b)))
		default:
			if err = m.sized(id, size, 1<<62); err == nil {
				err = m.skip(size)
			}
		}
		if err != nil {
			return err
		}
	}
}

// block reads a block and returns its packets, or nil if it is not of the track.
func (m *mkvReader) block(id uint32, size int64, number uint64) ([][]byte, error) {
	if err := m.sized(id, size, 1<<62); err != nil {
		return nil, err
	}
	start := m.pos
	raw, width, err := m.vint()
	if err != nil {
		return nil, err
	}
	size -= m.pos - start
	if size < 0 {
		return nil, fmt.Errorf("%w: Matroska block without its track", ErrFormat)
	}
	if raw&(1<<(7*width)-1) != number {
		return nil, m.skip(size)
	}
	b, err := m.body(id, size, maxMKVBlock)
	if err != nil {
		return nil, err
	}
	const head = 3 // time within the cluster, flags
	if len(b) < head {
		return nil, fmt.Errorf("%w: Matroska block of %d bytes", ErrFormat, size)
	}
	return mkvPackets(b[2]>>1&3, b[head:])
}

// mkvPackets splits a block of several packets (RFC 9559 section 10.3).
func mkvPackets(lacing byte, b []byte) ([][]byte, error) {
	const none, xiph, fixed = 0, 1, 2
	if lacing == none {
		return [][]byte{b}, nil
	}
	errLacing := fmt.Errorf("%w: Matroska block with malformed lacing", ErrFormat)
	if len(b) == 0 {
		return nil, errLacing
	}
	count := int(b[0]) + 1
	b = b[1:]
	if lacing == fixed {
		if len(b)%count != 0 {
			return nil, errLacing
		}
		packets := make([][]byte, count)
		for i, n := 0, len(b)/count; i < count; i++ {
			packets[i] = b[i*n : (i+1)*n]
		}
		return packets, nil
	}
	split := ebmlLacing
	if lacing == xiph {
		split = xiphLacing
	}
	sizes, b, ok := split(count-1, b)
	if !ok {
		return nil, errLacing
	}
	var packets [][]byte
	for _, n := range sizes {
		if n < 0 || n > len(b) {
			return nil, errLacing
		}
		packets = append(packets, b[:n])
		b = b[n:]
	}
	return append(packets, b), nil
}

// xiphLacing reads so many sizes: bytes up to the first below 255, summed.
func xiphLacing(count int, b []byte) (sizes []int, rest []byte, ok bool) {
	for range count {
		n := 0
		for {
			if len(b) == 0 {
				return nil, nil, false
			}
			v := b[0]
			b = b[1:]
			if n += int(v); v < 255 {
				break
			}
		}
		sizes = append(sizes, n)
	}
	return sizes, b, true
}

// ebmlLacing reads so many sizes: the first as it is, the others as signed differences to the one before.
func ebmlLacing(count int, b []byte) (sizes []int, rest []byte, ok bool) {
	for i := range count {
		m := &mkvReader{r: bufio.NewReaderSize(bytes.NewReader(b[:min(len(b), 16)]), 16)}
		raw, width, err := m.vint()
		if err != nil {
			return nil, nil, false
		}
		b = b[width:]
		n := int64(raw & (1<<(7*width) - 1))
		if i > 0 {
			n += int64(sizes[i-1]) - (1<<(7*width-1) - 1)
		}
		if n < 0 || n > maxMKVBlock {
			return nil, nil, false
		}
		sizes = append(sizes, int(n))
	}
	return sizes, b, true
}
