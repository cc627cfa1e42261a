package flora

const floatBytes = 4

// Bytes returns the memory of the factors.
func (a *Adapter) Bytes() int64 {
	var n int64
	for _, f := range a.Sites {
		n += f.bytes()
	}
	return n
}

// bytes returns the memory of the matrices.
func (f *Factors) bytes() int64 {
	var n int64
	for _, p := range f.parts() {
		n += int64(len(p.mat.Data)) * floatBytes
	}
	return n
}
