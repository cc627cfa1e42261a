package tensor

// CrossEntropy returns the loss (1, 1)
//
//	Σ_i weight[i] (-(1-ε) log p_i[target[i]] - ε/nClass Σ_j log p_i[j])
//
// with p_i = softmax(logits[i]) and ε the label smoothing of Szegedy et al. 2016, §7. A row of
// weight 0 is left out. It also returns log p (nRow, nClass), in host memory.
func (o *Ops) CrossEntropy(logits Mat, target []int32, weight []float32, smoothing float32) (loss, logProb Mat) {
	if target == nil && logits.Rows > 0 {
		fail("cross entropy without targets")
	}
	if len(target) > 0 {
		checkIndex("target", target, logits.Rows, logits.Cols)
	}
	if len(weight) != logits.Rows {
		fail("%d weights of %d rows", len(weight), logits.Rows)
	}
	logProb = o.Host(o.LogSoftmax(logits))
	rest := smoothing / float32(logits.Cols)
	var sum float64
	for i, t := range target {
		if weight[i] == 0 {
			continue
		}
		row := logProb.Row(i)
		sum -= float64(weight[i]*(1-smoothing)) * float64(row[t])
		if smoothing > 0 {
			for _, l := range row {
				sum -= float64(weight[i]*rest) * float64(l)
			}
		}
	}
	loss = o.Upload(1, 1, []float32{float32(sum)})
	o.Record(&loss, func() {
		scale := o.Host(o.grad(loss)).Data[0]
		o.HostGrad(logits, func(d Mat, fresh bool) {
			o.chooser.Each(len(target), func(i int) {
				dRow, w := d.Row(i), weight[i]*scale
				switch {
				case w == 0 && fresh:
					clear(dRow)
				case w != 0:
					o.softmaxGrad(dRow, logProb.Row(i), w, rest, fresh)
					dRow[target[i]] -= w * (1 - smoothing)
				}
			})
		})
	}, logits)
	return loss, logProb
}

// softmaxGrad adds w (p - rest) to d, or writes it there where d is fresh, for the log probabilities log p.
func (o *Ops) softmaxGrad(d, logProb []float32, w, rest float32, fresh bool) {
	if fresh {
		o.chooser.Exp(d, logProb, 0, 1)
		for j, p := range d {
			d[j] = w * (p - rest)
		}
		return
	}
	p := make([]float32, len(d))
	o.chooser.Exp(p, logProb, 0, 1)
	for j, p := range p {
		d[j] += w * (p - rest)
	}
}
