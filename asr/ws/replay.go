package ws

// maxReplay is how many bytes of messages of a session are kept for a client that comes back.
const maxReplay = 1 << 17

// replay keeps the messages that a client may have missed when its connection broke: the newest that fit, of partials
// the last one where no final has followed.
type replay struct {
	kept    []kept // by rising seq
	bytes   int
	lost    int64 // seq of the last message that is kept no more, other than a partial whose time is over
	partial bool  // the last of kept is a partial
}

type kept struct {
	seq     int64
	message []byte
}

// add keeps a message.
func (r *replay) add(seq int64, message []byte, partial bool) {
	if r.partial {
		last := len(r.kept) - 1
		r.bytes -= len(r.kept[last].message)
		r.kept = r.kept[:last]
	}
	r.partial = partial
	r.kept = append(r.kept, kept{seq, message})
	r.bytes += len(message)
	for r.bytes > maxReplay && len(r.kept) > 1 {
		r.lost = r.kept[0].seq
		r.bytes -= len(r.kept[0].message)
		r.kept[0].message = nil
		r.kept = r.kept[1:]
	}
}

// since returns the messages behind seq; !ok: some of them are kept no more.
func (r *replay) since(seq int64) (messages [][]byte, ok bool) {
	if seq < r.lost {
		return nil, false
	}
	for _, k := range r.kept {
		if k.seq > seq {
			messages = append(messages, k.message)
		}
	}
	return messages, true
}
