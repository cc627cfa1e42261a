package flora

// Bytes returns the memory that the adapter takes: its factors, as it was opened and as they are applied.
func (r *Resident) Bytes() int64 {
	n := r.Adapter.Bytes()
	for site, f := range r.factors {
		if f.scales() {
			n += int64(f.A.Cols+f.B.Cols) * floatBytes // laid side by side with those of others
		}
		if f != r.Adapter.Sites[site] {
			n += f.bytes() - int64(len(f.V.Data)+len(f.D.Data))*floatBytes // which are the adapter's own
		}
	}
	return n
}
