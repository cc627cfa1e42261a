//go:build race

package tensortest

const raceDetector = true
