//go:build race

package ws

const raceDetector = true
