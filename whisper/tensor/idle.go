package tensor

// idle is what [Ops] has in the place of a device after it had no memory, until the next Reset: kernels that do
// nothing, since their operands are nowhere.
type idle struct{ Backend }

// nowhere is the address of a matrix that there was no memory for.
const nowhere = alignment

func (idle) Linear(_, _ Mat, _ Packed, _ Mat)                                             {}
func (idle) MatMul(_, _, _ Mat, _ Transpose, _ bool)                                      {}
func (idle) Add(_, _, _ Mat)                                                              {}
func (idle) Scale(_, _, _ Mat, _ []int32)                                                 {}
func (idle) AddBias(_, _, _ Mat)                                                          {}
func (idle) LayerNorm(_, _, _, _ Mat)                                                     {}
func (idle) GELU(_, _ Mat)                                                                {}
func (idle) LogSoftmax(_, _ Mat)                                                          {}
func (idle) Attention(_, _ Mat, _ Segments, _ []KeyValue, _ int, _ bool)                  {}
func (idle) Embed(_, _ Mat, _ []int32)                                                    {}
func (idle) Unfold(_, _ Mat, _, _ Segments, _, _ int)                                     {}
func (idle) SumRows(_, _ Mat)                                                             {}
func (idle) ScaleBackward(_, _, _, _, _ Mat, _ []int32)                                   {}
func (idle) LayerNormBackward(_, _, _, _, _, _ Mat)                                       {}
func (idle) GELUBackward(_, _, _ Mat)                                                     {}
func (idle) EmbedBackward(_, _ Mat, _ []int32)                                            {}
func (idle) UnfoldBackward(_, _ Mat, _, _ Segments, _, _ int)                             {}
func (idle) EmbedPacked(_ Mat, _ Packed, _ []int32)                                       {}
func (idle) AttentionBackward(Mat, []KeyValue, Mat, Mat, Segments, []KeyValue, int, bool) {}
