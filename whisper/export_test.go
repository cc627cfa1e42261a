package whisper

import (
	"os"
	"path/filepath"
	"testing"

	"glossa/whisper/tensor"
)

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

// Bytes returns the memory of kept keys and values.
func (c *CrossKV) Bytes() int { return 4 * c.memory.Len() }

// DataFile is the path of a file of real data: in $GLOSSA_DATA, or ../shared/data beside the repository. It skips t if absent.
func DataFile(t testing.TB, what string, path ...string) string {
	t.Helper()
	dir := os.Getenv("GLOSSA_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	name := filepath.Join(append([]string{dir}, path...)...)
	if _, err := os.Stat(name); err != nil {
		t.Skipf("SKIP: %s absent: %v (GLOSSA_DATA names the folder of data)", what, err)
	}
	return name
}
