// Package safetensors reads and writes files of named tensors.
//
// The format is https://huggingface.co/docs/safetensors: eight bytes with the little-endian length N of the header, N bytes
// of JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, …, "__metadata__": {string: string}}, then the data,
// row-major and little-endian. The tensors tile the data: no gap, no overlap, no byte after the last.
//
// A file comes from outside, so nothing in it is believed: every length, offset, shape and element type is checked against the
// size of the file before anything of that size is allocated. Reading one tensor reads only its own bytes.
package safetensors
