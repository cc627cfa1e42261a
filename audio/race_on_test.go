//go:build race

package audio

// raceDetector tells that tests run some ten times slower.
const raceDetector = true
