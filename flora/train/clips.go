package train

import (
	"fmt"
	"math"
	"sync"

	"glossa/audio"
)

// clips opens audio files and keeps what fits in memory, as 16-bit samples. Which clips it keeps
// never changes what it returns. It is safe for concurrent use.
type clips struct {
	mu    sync.Mutex
	free  int64
	cache map[string][]int16
	long  map[string]float64 // seconds of each clip that was opened
}

func newClips(bytes int64) *clips {
	return &clips{free: bytes, cache: map[string][]int16{}, long: map[string]float64{}}
}

// seconds returns the length of a clip, if it has been opened.
func (c *clips) seconds(path string) (seconds float64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seconds, ok = c.long[path]
	return seconds, ok
}

const (
	int16Scale = 1 << 15
	int16Bytes = 2
)

// load returns the samples of a file as a new slice.
func (c *clips) load(path string) ([]float32, error) {
	c.mu.Lock()
	kept, ok := c.cache[path]
	c.mu.Unlock()
	if !ok {
		pcm, err := audio.DecodeFile(path)
		if err != nil {
			return nil, err
		}
		kept = make([]int16, len(pcm.Samples))
		for i, v := range pcm.Samples {
			if math.IsNaN(float64(v)) {
				return nil, fmt.Errorf("train: %s: sample %d is not a number", path, i)
			}
			kept[i] = int16(max(-int16Scale, min(int16Scale-1, math.RoundToEven(float64(v)*int16Scale))))
		}
		c.keep(path, kept)
	}
	samples := make([]float32, len(kept))
	for i, v := range kept {
		samples[i] = float32(v) / int16Scale
	}
	return samples, nil
}

func (c *clips) keep(path string, samples []int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.long[path] = float64(len(samples)) / audio.SampleRate
	if _, ok := c.cache[path]; !ok && c.free >= int64(len(samples))*int16Bytes {
		c.cache[path] = samples
		c.free -= int64(len(samples)) * int16Bytes
	}
}
