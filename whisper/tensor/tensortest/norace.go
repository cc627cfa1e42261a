//go:build !race

package tensortest

// raceDetector says whether the race detector is on, under which sync.Pool drops at random what
// it is given.
const raceDetector = false
