package whisper

import (
	"errors"
	"fmt"

	"glossa/audio"
	"glossa/whisper/tensor"
)

// ErrWindow is the error of a window that the model cannot take.
var ErrWindow = errors.New("whisper: window")

// Encode runs the encoder on windows of log-mel, packed into one batch, and returns the
// cross-attention keys and values of each, under its adapter. adapter and adapterOf may be nil.
// A window is at most [Dims.WindowFrames] frames, exactly that many where the model was trained
// on padded windows: see [Model.Window].
func (m *Model) Encode(o *tensor.Ops, adapter Adapter, windows []audio.Mel, adapterOf []int32) ([]*CrossKV, error) {
	return m.EncodeInto(new(CrossPool), o, adapter, windows, adapterOf)
}

// EncodeInto is Encode with keys and values in the memory of p. Where a device has no room for the windows, the error
// wraps tensor.ErrMemory, and fewer at a time may do.
func (m *Model) EncodeInto(p *CrossPool, o *tensor.Ops, adapter Adapter, windows []audio.Mel, adapterOf []int32) ([]*CrossKV, error) {
	o.Reset()
	s := &Step{Ops: o, Adapter: adapter, AdapterOf: adapterOf}
	states, err := m.EncodeStates(s, windows)
	if err != nil {
		return nil, err
	}
	return m.Decoder.KeepCrossKV(p, s, states)
}

// EncodeStates returns the encoder's states (nRow, NAudioState) of windows of log-mel, packed by
// s.Seg, which it sets.
func (m *Model) EncodeStates(s *Step, windows []audio.Mel) (tensor.Mat, error) {
	s.Seg = tensor.Segments{0}
	frames := make([][]float32, 0, len(windows))
	for _, w := range windows {
		switch n := m.Dims.WindowFrames(); {
		case w.NMels != m.Dims.NMels:
			return tensor.Mat{}, fmt.Errorf("%w has %d mels, the model takes %d", ErrWindow, w.NMels, m.Dims.NMels)
		case w.Frames == 0 || w.Frames > n || !m.Dims.Unpadded && w.Frames != n:
			return tensor.Mat{}, fmt.Errorf("%w has %d frames, the model takes %d", ErrWindow, w.Frames, n)
		}
		frames = append(frames, w.Data)
		s.Seg = append(s.Seg, s.Seg[len(s.Seg)-1]+int32(w.Frames))
	}
	return m.Encoder.Forward(s, s.UploadParts(s.Seg.Rows(), m.Dims.NMels, frames)), nil
}
