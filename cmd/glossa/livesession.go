package main

import (
	"context"
	"encoding/binary"
	"math"

	"glossa/asr"
	"glossa/asr/ws"
)

// sessionConn is a live session of an engine in this process, in the shape of one at a server.
type sessionConn struct {
	ctx     context.Context
	session *asr.Session
}

// listenHere begins a session, which ends with ctx.
func listenHere(ctx context.Context, e *asr.Engine, o asr.ListenOptions) (*sessionConn, error) {
	o.Words = true
	session, err := e.Listen(ctx, o)
	if err != nil {
		return nil, err
	}
	return &sessionConn{ctx, session}, nil
}

// Ready is a part of liveConn. There are no limits but those of the session.
func (c *sessionConn) Ready() ws.Ready { return ws.Ready{} }

// Send takes 16-bit samples, and waits for room.
func (c *sessionConn) Send(sound []byte) error {
	pcm := make([]float32, len(sound)/2)
	for i := range pcm {
		pcm[i] = float32(int16(binary.LittleEndian.Uint16(sound[2*i:]))) / (math.MaxInt16 + 1)
	}
	if err := c.session.Wait(c.ctx, len(pcm)); err != nil {
		return err
	}
	return c.session.Write(pcm)
}

func (c *sessionConn) CloseSend() error { return c.session.CloseWrite() }

func (c *sessionConn) Close() error {
	c.session.Close()
	return nil
}

// Next returns the next event as a server words it.
func (c *sessionConn) Next() (ws.Event, error) {
	e, err := c.session.Next(c.ctx)
	if err != nil {
		return ws.Event{}, err
	}
	ms := func(seconds float64) int64 { return int64(math.Round(1000 * seconds)) }
	m := ws.Event{Seq: e.Seq, SegmentID: e.Segment, StartMS: ms(e.Start), EndMS: ms(e.End), Language: e.Language, Adapter: e.Adapter}
	switch e.Kind {
	case asr.SpeechStarted:
		m.Type = ws.TypeSpeechStarted
	case asr.Partial:
		m.Type, m.Committed, m.Tentative = ws.TypePartial, e.Committed, e.Tentative
	case asr.Final:
		m.Type, m.Text, m.SpeechFinal = ws.TypeFinal, e.Text, e.SpeechFinal
		for _, w := range e.Words {
			m.Words = append(m.Words, ws.Word{Word: w.Word, StartMS: ms(w.Start), EndMS: ms(w.End), Probability: w.Probability})
		}
	case asr.UtteranceEnd:
		m.Type = ws.TypeUtteranceEnd
	case asr.Lag:
		m.Type, m.MS = ws.TypeLag, e.Behind.Milliseconds()
	case asr.Failed:
		m.Type, m.Message = ws.TypeError, e.Err.Error()
	case asr.Done:
		m.Type = ws.TypeDone
	}
	return m, nil
}
