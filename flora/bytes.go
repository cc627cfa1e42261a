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

// Bytes returns the memory that the resident takes beside the factors of its adapter: scales laid side
// by side with those of others, and factors that are not the adapter's own.
func (r *Resident) Bytes() int64 {
	var n int64
	for site, f := range r.factors {
		own := r.Adapter.Sites[site]
		if f.scales() {
			n += int64(f.A.Cols+f.B.Cols) * floatBytes
		}
		if f != own {
			n += f.bytes() - int64(len(f.V.Data)+len(f.D.Data))*floatBytes
		}
	}
	return n
}
