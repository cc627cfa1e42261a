package tensortest_test

import (
	"testing"

	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// TestSimulated checks that the simulated devices are what the suite asks of a device.
func TestSimulated(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		tensortest.Run(t, tensortest.Simulate(ref.New(), tensortest.DeviceOptions{Memory: 1 << 30}), tensortest.Exact())
	})
	t.Run("fused", func(t *testing.T) {
		tensortest.Run(t, tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{}), tensortest.Exact())
	})
}
