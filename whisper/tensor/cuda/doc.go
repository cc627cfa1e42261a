// Package cuda is the backend for NVIDIA GPUs. It is built with the tag cuda on Linux; without the tag the package has no
// device. See README.md for how to build it, and how to test it with and without a GPU.
package cuda
