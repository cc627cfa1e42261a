//go:build race

package eval

// raceDetector tells that tests run some ten times slower.
const raceDetector = true
