package ws

import (
	"bytes"
	"fmt"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// maxOutbox is how many bytes a client keeps of what the server may not have.
const maxOutbox = 64 << 20

// item is a message that was sent.
type item struct {
	kind    int // of the websocket
	message []byte
	at      int64 // bytes of sound before it
}

// outbox keeps what a client has sent until the server has it.
type outbox struct {
	items []item
	sent  int64 // bytes of sound
	bytes int
}

// begin says that so much sound went before.
func (o *outbox) begin(at int64) { o.sent = at }

// add keeps a copy of a message. The error is asr.ErrBusy where too much is kept.
func (o *outbox) add(i item) error {
	if o.bytes+len(i.message) > maxOutbox {
		return fmt.Errorf("ws: %w: %d bytes wait for the server to take them", asr.ErrBusy, o.bytes)
	}
	i.message, i.at = bytes.Clone(i.message), o.sent
	if i.kind == websocket.BinaryMessage {
		o.sent += int64(len(i.message))
	}
	o.items = append(o.items, i)
	o.bytes += len(i.message)
	return nil
}

// forget drops what is before an offset of the sound. What is no sound, and stands at the offset, may not have come.
func (o *outbox) forget(offset int64) {
	n := 0
	for n < len(o.items) && o.items[n].end() <= offset && o.items[n].at < offset {
		o.bytes -= len(o.items[n].message)
		o.items[n].message = nil
		n++
	}
	o.items = o.items[n:]
}

// end is the offset behind an item.
func (i item) end() int64 {
	if i.kind == websocket.BinaryMessage {
		return i.at + int64(len(i.message))
	}
	return i.at
}

// from returns what is to be sent again where the server has the sound before an offset.
func (o *outbox) from(offset int64) ([]item, error) {
	o.forget(offset)
	if len(o.items) > 0 && o.items[0].at > offset || len(o.items) == 0 && o.sent > offset {
		return nil, fmt.Errorf("ws: %w: the server asks for sound from byte %d, which is kept no more", asr.ErrInternal, offset)
	}
	items := o.items
	if len(items) > 0 && items[0].at < offset {
		cut := items[0]
		cut.message = cut.message[offset-cut.at:]
		items = append([]item{cut}, items[1:]...)
	}
	return items, nil
}
