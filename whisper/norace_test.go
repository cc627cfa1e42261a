//go:build !race

package whisper_test

const raceDetector = false
