package whisper

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"glossa/whisper/tensor"
)

// Model is a Whisper network and the tokenizer and generation settings that belong to it.
type Model struct {
	Dims    Dims
	Encoder Encoder
	Decoder Decoder

	Tokenizer  *Tokenizer
	Generation Generation

	memory      *tensor.Memory        // of a device, that parameters are placed in
	fingerprint string                // of a model without plain weights
	packer      tensor.KeyValuePacker // nil: keys and values stay as they are
}

// Param is a named parameter of a model, in the layout that the network computes with.
type Param struct {
	Name string // in Hugging Face checkpoints
	Mat  *tensor.Mat
	Conv bool // stored as (nOut, nIn, convKernel), held as (nOut, convKernel*nIn)

	weight    *tensor.Weight // which Mat is that of, nil where no product reads it
	embedding *tensor.Packed // whose rows are looked up too, nil of all others
	norm      *LayerNorm     // that returns the rows which it is multiplied by, nil where none does
}

// New returns a model of the given geometry with all parameters zero and no tokenizer.
func New(d Dims) *Model {
	m := outline(d)
	for _, p := range m.Params() {
		*p.Mat = tensor.Zeros(p.Mat.Rows, p.Mat.Cols)
	}
	return m
}

// outline is New with the shapes of the parameters but without their numbers, so that sizes which a file gives allocate nothing
// before its tensors are found to have them.
func outline(d Dims) *Model {
	m := &Model{Dims: d}
	e := &m.Encoder
	e.Conv1 = newConv(d.NMels, d.NAudioState, 1)
	e.Conv2 = newConv(d.NAudioState, d.NAudioState, convStride)
	e.Positions = shape(d.NAudioCtx, d.NAudioState)
	e.Blocks = newBlocks(EncoderStack, d.NAudioLayer, d.NAudioState, d.NAudioHead, d.AudioFFN())
	e.Norm = newLayerNorm(d.NAudioState)
	t := &m.Decoder
	t.Tokens = tensor.Weight{Mat: shape(d.NVocab, d.NTextState)}
	t.Positions = shape(d.NTextCtx, d.NTextState)
	t.Blocks = newBlocks(DecoderStack, d.NTextLayer, d.NTextState, d.NTextHead, d.TextFFN())
	t.Norm = newLayerNorm(d.NTextState)
	return m
}

func newConv(nIn, nOut, stride int) Conv {
	return Conv{Weight: tensor.Weight{Mat: shape(nOut, convKernel*nIn)}, Bias: shape(1, nOut), Stride: stride}
}

func newLayerNorm(nState int) LayerNorm {
	return LayerNorm{Gamma: shape(1, nState), Beta: shape(1, nState)}
}

func newBlocks(stack Stack, nLayer, nState, nHead, nFFN int) []Block {
	blocks := make([]Block, nLayer)
	for i := range blocks {
		linear := func(r Role, nOut, nIn int) Linear {
			l := Linear{Site: Site{stack, i, r}, Weight: tensor.Weight{Mat: shape(nOut, nIn)}}
			if r != Key && r != CrossKey {
				l.Bias = shape(1, nOut)
			}
			return l
		}
		attention := func(first Role) Attention {
			return Attention{NHead: nHead, Layer: i,
				Query: linear(first, nState, nState), Key: linear(first+1, nState, nState),
				Value: linear(first+2, nState, nState), Out: linear(first+3, nState, nState)}
		}
		b := &blocks[i]
		b.AttnNorm, b.Attn = newLayerNorm(nState), attention(Query)
		if stack == DecoderStack {
			cross := attention(CrossQuery)
			b.CrossNorm, b.Cross = newLayerNorm(nState), &cross
		}
		b.MLPNorm = newLayerNorm(nState)
		b.MLP = MLP{FC1: linear(FC1, nFFN, nState), FC2: linear(FC2, nState, nFFN)}
	}
	return blocks
}

// shape is a matrix (rows, cols) without numbers.
func shape(rows, cols int) tensor.Mat { return tensor.Mat{Rows: rows, Cols: cols} }

// Linears returns every adaptable linear of the model, in the order of the network.
func (m *Model) Linears() []*Linear {
	var ls []*Linear
	for _, blocks := range [][]Block{m.Encoder.Blocks, m.Decoder.Blocks} {
		for i := range blocks {
			b := &blocks[i]
			ls = append(ls, b.Attn.linears()...)
			if b.Cross != nil {
				ls = append(ls, b.Cross.linears()...)
			}
			ls = append(ls, &b.MLP.FC1, &b.MLP.FC2)
		}
	}
	return ls
}

func (a *Attention) linears() []*Linear { return []*Linear{&a.Query, &a.Key, &a.Value, &a.Out} }

// normBefore returns the norm that returns the rows which a linear takes, nil where none does.
func (m *Model) normBefore(s Site) *LayerNorm {
	blocks := m.Encoder.Blocks
	if s.Stack == DecoderStack {
		blocks = m.Decoder.Blocks
	}
	switch b := &blocks[s.Layer]; s.Role {
	case Query, Key, Value:
		return &b.AttnNorm
	case CrossQuery:
		return &b.CrossNorm
	case CrossKey, CrossValue:
		return &m.Encoder.Norm
	case FC1:
		return &b.MLPNorm
	}
	return nil
}

// Params returns every parameter of the model, in the order of the network.
func (m *Model) Params() []Param {
	var ps []Param
	add := func(name string, mat *tensor.Mat) { ps = append(ps, Param{Name: name, Mat: mat}) }
	norm := func(name string, n *LayerNorm) {
		add(name+".weight", &n.Gamma)
		add(name+".bias", &n.Beta)
	}
	linears := func(ls ...*Linear) {
		for _, l := range ls {
			ps = append(ps, Param{Name: l.Site.String() + ".weight", Mat: &l.Weight.Mat, weight: &l.Weight, norm: m.normBefore(l.Site)})
			if l.Bias.Cols > 0 {
				add(l.Site.String()+".bias", &l.Bias)
			}
		}
	}
	stack := func(prefix string, blocks []Block, last *LayerNorm) {
		for i := range blocks {
			b, layer := &blocks[i], fmt.Sprintf("%s.layers.%d.", prefix, i)
			norm(layer+"self_attn_layer_norm", &b.AttnNorm)
			linears(b.Attn.linears()...)
			if b.Cross != nil {
				norm(layer+"encoder_attn_layer_norm", &b.CrossNorm)
				linears(b.Cross.linears()...)
			}
			norm(layer+"final_layer_norm", &b.MLPNorm)
			linears(&b.MLP.FC1, &b.MLP.FC2)
		}
		norm(prefix+".layer_norm", last)
	}
	e, d := &m.Encoder, &m.Decoder
	for i, c := range []*Conv{&e.Conv1, &e.Conv2} {
		name := fmt.Sprintf("%s.conv%d", stackName[EncoderStack], i+1)
		ps = append(ps, Param{Name: name + ".weight", Mat: &c.Weight.Mat, Conv: true, weight: &c.Weight})
		add(name+".bias", &c.Bias)
	}
	add(stackName[EncoderStack]+".embed_positions.weight", &e.Positions)
	stack(stackName[EncoderStack], e.Blocks, &e.Norm)
	ps = append(ps, Param{Name: stackName[DecoderStack] + ".embed_tokens.weight", Mat: &d.Tokens.Mat, weight: &d.Tokens, embedding: &d.Embedding, norm: &d.Norm})
	add(stackName[DecoderStack]+".embed_positions.weight", &d.Positions)
	stack(stackName[DecoderStack], d.Blocks, &d.Norm)
	return ps
}

// Pack lays the weights of all products out for b in dtype, but for those of the convolutions, which
// are at least of 16 bits: the log-mel that they read has a few loud bands beside many quiet ones. So
// are the rows of the token embedding, which every sum of the decoder begins with.
// Keys and values will be packed too. The plain weights stay, unlike those of [Load]. On a device the numbers that the
// network reads as they are (norms, biases, positions) are copied there beside.
func (m *Model) Pack(b tensor.Backend, dtype tensor.DType) error {
	for _, p := range m.Params() {
		if err := m.pack(b, dtype, p, *p.Mat); err != nil {
			return err
		}
	}
	m.packKeyValues(b, dtype)
	return m.place(b, func(p Param) bool { return p.staysPlain(b) })
}

// Place copies all plain numbers to the memory of b, where that is a device, for the model to be trained there.
func (m *Model) Place(b tensor.Backend) error { return m.place(b, func(Param) bool { return true }) }

// place copies the plain numbers that are wanted to the memory of b, where that is a device, and takes others away
// from there. The error wraps tensor.ErrMemory.
func (m *Model) place(b tensor.Backend, wanted func(Param) bool) error {
	m.unplace()
	if _, ok := b.(tensor.Device); !ok {
		return nil
	}
	var to []*tensor.Mat
	var from []tensor.Mat
	for _, p := range m.Params() {
		if wanted(p) {
			to, from = append(to, p.Mat), append(from, *p.Mat)
		}
	}
	var err error
	if m.memory, err = tensor.Place(b, to, from); err != nil {
		return fmt.Errorf("whisper: place on %s: %w", b.Name(), err)
	}
	return nil
}

// unplace takes plain numbers away from a device.
func (m *Model) unplace() {
	for _, p := range m.Params() {
		p.Mat.Dev = 0
	}
	m.memory.Free()
	m.memory = nil
}

// wide is dtype, but of 16 bits at least.
func wide(dtype tensor.DType) tensor.DType {
	if dtype == tensor.I8 {
		return tensor.BF16
	}
	return dtype
}

// pack lays the numbers of a parameter out, if a product reads it. Those of its norm must be known.
func (m *Model) pack(b tensor.Backend, dtype tensor.DType, p Param, numbers tensor.Mat) (err error) {
	if p.weight == nil {
		return nil
	}
	if numbers.Data == nil {
		p.mustHaveNumbers()
	}
	if p.Conv {
		dtype = wide(dtype)
	}
	if balanced, ok := b.(tensor.BalancedPacker); ok && p.norm != nil {
		p.weight.Packed, err = balanced.PackBalanced(numbers, dtype, p.norm.ranges())
	} else {
		p.weight.Packed, err = b.Pack(numbers, dtype)
	}
	if err != nil {
		return fmt.Errorf("whisper: pack for %s: %w", b.Name(), err)
	}
	if p.embedding == nil || p.staysPlain(b) {
		return nil
	}
	*p.embedding = p.weight.Packed
	if dtype != wide(dtype) {
		if *p.embedding, err = b.Pack(numbers, wide(dtype)); err != nil {
			return fmt.Errorf("whisper: pack for %s: %w", b.Name(), err)
		}
	}
	return nil
}

// Unpack forgets what [Model.Pack] laid out, which goes stale where the plain weights change. A device has its memory
// back then, and the model must not be in use.
func (m *Model) Unpack() {
	for _, p := range m.Params() {
		if p.weight != nil {
			tensor.Free(p.weight.Packed)
			p.weight.Packed = nil
		}
	}
	tensor.Free(m.Decoder.Embedding)
	m.Decoder.Embedding = nil
	m.unplace()
}

// packKeyValues lets keys and values be packed: those of the encoder in wide(dtype) where the
// backend computes with it as it is, those of cross-attention in dtype in any case, since reading
// them is what a step of many utterances takes most of its time for.
func (m *Model) packKeyValues(b tensor.Backend, dtype tensor.DType) {
	packer, ok := b.(tensor.KeyValuePacker)
	m.packer = packer
	self := wide(dtype)
	if ok && !packer.Native(self) {
		self = tensor.F32
	}
	for i := range m.Encoder.Blocks {
		a := &m.Encoder.Blocks[i].Attn
		a.PackKV, a.KV = ok, self
	}
	m.Encoder.round(self != tensor.F32)
	for i := range m.Decoder.Blocks {
		a := m.Decoder.Blocks[i].Cross
		a.PackKV, a.KV = ok, dtype
	}
}

// Fingerprint identifies the weights of the model: sha256, in hexadecimal, over the name, shape and
// first numbers of each parameter. Another training of the same geometry has another one.
func (m *Model) Fingerprint() string {
	if m.fingerprint != "" {
		return m.fingerprint
	}
	var heads [][]float32
	for _, p := range m.Params() {
		heads = append(heads, head(*p.Mat))
	}
	return m.hash(heads)
}

// head returns the first numbers of a parameter.
func head(m tensor.Mat) []float32 {
	const first = 64
	return m.Data[:min(first, m.Rows*m.Cols)]
}

// hash is the fingerprint by the first numbers of each parameter.
func (m *Model) hash(heads [][]float32) string {
	h := sha256.New()
	for i, p := range m.Params() {
		fmt.Fprintln(h, p.Name, p.Shape())
		for _, v := range heads[i] {
			binary.Write(h, binary.LittleEndian, v) // a hash takes all
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Shape returns the shape of the parameter in a checkpoint.
func (p Param) Shape() []int {
	switch m := p.Mat; {
	case p.Conv:
		return []int{m.Rows, m.Cols / convKernel, convKernel}
	case m.Rows == 1:
		return []int{m.Cols}
	default:
		return []int{m.Rows, m.Cols}
	}
}

// SetFloat32 copies data, in the checkpoint's layout, into the parameter.
func (p Param) SetFloat32(data []float32) {
	p.mustHaveNumbers()
	if p.Conv {
		permute(*p.Mat, data, false)
	} else {
		copy(p.Mat.Data, data)
	}
}

// Float32 returns the parameter's numbers in the checkpoint's layout. It panics where [Load] has kept none.
func (p Param) Float32() []float32 {
	p.mustHaveNumbers()
	if !p.Conv {
		return slices.Clone(p.Mat.Data)
	}
	data := make([]float32, len(p.Mat.Data))
	permute(*p.Mat, data, true)
	return data
}

// HasNumbers reports whether the parameter has its numbers as they are, and not in packed form alone.
func (p Param) HasNumbers() bool { return p.Mat.Data != nil || p.Mat.Rows*p.Mat.Cols == 0 }

func (p Param) mustHaveNumbers() {
	if !p.HasNumbers() {
		panic("whisper: " + p.Name + " is packed, and its plain numbers were not kept: see LoadPlain")
	}
}

// permute copies the weight of a convolution held, in the network's layout, from stored, in the
// checkpoint's, or to it.
func permute(held tensor.Mat, stored []float32, out bool) {
	nIn := held.Cols / convKernel
	for o := range held.Rows {
		for tap := range convKernel {
			row := held.Row(o)[tap*nIn : (tap+1)*nIn]
			for c := range row {
				if s := &stored[(o*nIn+c)*convKernel+tap]; out {
					*s = row[c]
				} else {
					row[c] = *s
				}
			}
		}
	}
}
