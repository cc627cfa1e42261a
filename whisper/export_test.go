package whisper

import "glossa/whisper/tensor"

// What the tests of alignment look into.
var (
	DTW          = dtw
	MedianFilter = medianFilter
)

// AlignmentMatch returns the matrix (len(Tokens)+1, nFrame) of one window that the words are found
// in.
func (m *Model) AlignmentMatch(o *tensor.Ops, a Alignment) (match []float32, nFrame int, err error) {
	f, err := m.force(&a)
	if err != nil {
		return nil, 0, err
	}
	err = m.runForced(o, nil, []*forced{f})
	return f.match, f.nFrame, err
}
