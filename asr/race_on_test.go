//go:build race

package asr

// raceDetector tells that tests run some ten times slower.
const raceDetector = true
