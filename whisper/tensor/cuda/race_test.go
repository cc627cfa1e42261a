//go:build cuda && linux && race

package cuda

const raceDetector = true
