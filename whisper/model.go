package whisper

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"glossa/whisper/tensor"
)

// Model is a Whisper network and the tokenizer and generation settings that belong to it.
type Model struct {
	Dims    Dims
	Encoder Encoder
	Decoder Decoder

	Tokenizer  *Tokenizer
	Generation Generation
}

// Param is a named parameter of a model, in the layout that the network computes with.
type Param struct {
	Name string // in Hugging Face checkpoints
	Mat  *tensor.Mat
	Conv bool // stored as (nOut, nIn, convKernel), held as (nOut, convKernel*nIn)
}

// Load builds the model of a checkpoint, its linears packed for b in dtype. It fails with the
// name of the tensor that is missing, misshapen or not finite.
func Load(c *Checkpoint, b tensor.Backend, dtype tensor.DType) (*Model, error) {
	m, err := LoadPlain(c)
	if err != nil {
		return nil, err
	}
	return m, m.Pack(b, dtype)
}

// LoadPlain builds the model of a checkpoint with plain weights, as training wants them.
func LoadPlain(c *Checkpoint) (*Model, error) {
	m := outline(c.Dims)
	m.Tokenizer, m.Generation = c.Tokenizer, c.Generation
	for _, p := range m.Params() {
		data, err := c.Float32(p.Name, p.Shape()...)
		if err != nil {
			return nil, err
		}
		*p.Mat = tensor.Zeros(p.Mat.Rows, p.Mat.Cols)
		p.SetFloat32(data)
	}
	return m, nil
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
			add(l.Site.String()+".weight", &l.Weight.Mat)
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
		ps = append(ps, Param{Name: name + ".weight", Mat: &c.Weight.Mat, Conv: true})
		add(name+".bias", &c.Bias)
	}
	add(stackName[EncoderStack]+".embed_positions.weight", &e.Positions)
	stack(stackName[EncoderStack], e.Blocks, &e.Norm)
	add(stackName[DecoderStack]+".embed_tokens.weight", &d.Tokens.Mat)
	add(stackName[DecoderStack]+".embed_positions.weight", &d.Positions)
	stack(stackName[DecoderStack], d.Blocks, &d.Norm)
	return ps
}

// Pack lays the weights of all products out for b in dtype, but for those of the convolutions, which
// are at least of 16 bits: the log-mel that they read has a few loud bands beside many quiet ones.
// Keys and values will be packed too. The plain weights stay: adapters and the token embedding read
// them.
func (m *Model) Pack(b tensor.Backend, dtype tensor.DType) error {
	wide := dtype
	if dtype == tensor.I8 {
		wide = tensor.BF16
	}
	e, d := &m.Encoder, &m.Decoder
	p := packer{backend: b}
	p.pack(wide, nil, &e.Conv1.Weight, &e.Conv2.Weight)
	for _, blocks := range [][]Block{e.Blocks, d.Blocks} {
		for i := range blocks {
			x := &blocks[i]
			p.pack(dtype, &x.AttnNorm, &x.Attn.Query.Weight, &x.Attn.Key.Weight, &x.Attn.Value.Weight)
			p.pack(dtype, nil, &x.Attn.Out.Weight)
			if c := x.Cross; c != nil {
				p.pack(dtype, &x.CrossNorm, &c.Query.Weight)
				p.pack(dtype, &e.Norm, &c.Key.Weight, &c.Value.Weight)
				p.pack(dtype, nil, &c.Out.Weight)
			}
			p.pack(dtype, &x.MLPNorm, &x.MLP.FC1.Weight)
			p.pack(dtype, nil, &x.MLP.FC2.Weight)
		}
	}
	p.pack(dtype, &d.Norm, &d.Tokens)
	if p.err != nil {
		return p.err
	}
	m.packKeyValues(b, wide)
	return nil
}

// packer packs weights until the first that fails.
type packer struct {
	backend tensor.Backend
	err     error
}

// pack packs weights of linears that read what norm returns, or with nil anything.
func (p *packer) pack(dtype tensor.DType, norm *LayerNorm, ws ...*tensor.Weight) {
	balanced, ok := p.backend.(tensor.BalancedPacker)
	for _, w := range ws {
		if p.err != nil {
			return
		}
		if ok && norm != nil {
			w.Packed, p.err = balanced.PackBalanced(w.Mat, dtype, norm.ranges())
		} else {
			w.Packed, p.err = p.backend.Pack(w.Mat, dtype)
		}
		if p.err != nil {
			p.err = fmt.Errorf("whisper: pack for %s: %w", p.backend.Name(), p.err)
		}
	}
}

// packKeyValues lets keys and values be packed in dtype: those of the encoder where the backend
// computes with them as they are, those of cross-attention in any case, since reading them is what a step of many
// utterances takes most of its time for.
func (m *Model) packKeyValues(b tensor.Backend, dtype tensor.DType) {
	packer, ok := b.(tensor.KeyValuePacker)
	for i := range m.Encoder.Blocks {
		a := &m.Encoder.Blocks[i].Attn
		if a.PackKV, a.KV = ok, dtype; ok && !packer.Native(dtype) {
			a.KV = tensor.F32
		}
	}
	for i := range m.Decoder.Blocks {
		a := m.Decoder.Blocks[i].Cross
		a.PackKV, a.KV = ok, dtype
	}
}

// Fingerprint identifies the weights of the model: sha256, in hexadecimal, over the name, shape and
// first numbers of each parameter. Another training of the same geometry has another one.
func (m *Model) Fingerprint() string {
	const first = 64
	h := sha256.New()
	for _, p := range m.Params() {
		fmt.Fprintln(h, p.Name, p.Shape())
		for _, v := range p.Mat.Data[:min(first, len(p.Mat.Data))] {
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
func (p Param) SetFloat32(data []float32) { p.permute(p.Mat.Data, data, false) }

// Float32 returns the parameter's numbers in the checkpoint's layout.
func (p Param) Float32() []float32 {
	data := make([]float32, len(p.Mat.Data))
	p.permute(p.Mat.Data, data, true)
	return data
}

// permute copies held, the network's layout, from stored, the checkpoint's, or to it.
func (p Param) permute(held, stored []float32, out bool) {
	move := func(h, s *float32) {
		if out {
			*s = *h
		} else {
			*h = *s
		}
	}
	if !p.Conv {
		for i := range held {
			move(&held[i], &stored[i])
		}
		return
	}
	nIn := p.Mat.Cols / convKernel
	for o := range p.Mat.Rows {
		for tap := range convKernel {
			for c := range nIn {
				move(&held[(o*convKernel+tap)*nIn+c], &stored[(o*nIn+c)*convKernel+tap])
			}
		}
	}
}
