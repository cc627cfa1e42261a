package whisper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"glossa/whisper/formattest"
	"glossa/whisper/ggml"
	"glossa/whisper/safetensors"
	"glossa/whisper/torch"
)

// smallDims are the sizes of a model with upstream's vocabulary that takes no time to write.
func smallDims() Dims {
	return Dims{
		NMels: 8, NAudioCtx: 10, NAudioState: 4, NAudioHead: 2, NAudioLayer: 1,
		NVocab: leastMultilingual, NTextCtx: 5, NTextState: 4, NTextHead: 2, NTextLayer: 1,
	}
}

// smallTorch is a .pt with these tensors.
func smallTorch(t testing.TB, d Dims, tensors []formattest.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := formattest.Torch(&b, upstreamSizes(d), tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// smallGGML is a ggml file with these tokens and tensors.
func smallGGML(t testing.TB, d Dims, tokens [][]byte, tensors []formattest.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := formattest.GGML(&b, ggmlHeader(d), tokens, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// openBytes is Open of a file with this content.
func openBytes(data []byte) (*Checkpoint, error) {
	return openFile(bytes.NewReader(data), int64(len(data)), "model")
}

func TestOpenTellsWhatAFileIs(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		content string
		want    error
		says    string
	}{
		"empty":            {"", ErrCheckpoint, "neither"},
		"text":             {"hello, hello, hello, hello, hello", ErrCheckpoint, "ggml .bin"},
		"safetensors":      {"\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":{}}        ", ErrCheckpoint, "directory"},
		"gguf":             {"GGUF\x03\x00\x00\x00", ErrCheckpoint, "ggml-"},
		"lfs":              {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ErrCheckpoint, "git lfs pull"},
		"old torch":        {"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", torch.ErrLegacy, "torch.save(torch.load("},
		"a pickle":         {"\x80\x02}.", torch.ErrTruncated, "zip"},
		"ggml's beginning": {"lmgg\x00", ggml.ErrTruncated, "missing"},
		"zip's beginning":  {"PK\x03\x04", torch.ErrTruncated, "zip"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.says)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), fileConfig) {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestHostileModelsAreRefusedInBoundedMemory(t *testing.T) {
	const limit = 64 << 20
	d := smallDims()
	tensors := func(change func(list []formattest.Tensor) []formattest.Tensor) []formattest.Tensor {
		return change(upstreamTensors(d, safetensors.F16)[:4])
	}
	same := tensors(slices.Clone)
	dims := func(change func(*Dims)) Dims {
		changed := d
		change(&changed)
		return changed
	}
	renamed := tensors(func(list []formattest.Tensor) []formattest.Tensor { list[0].Name = "encoder.conv3.weight"; return list })
	beyond := tensors(func(list []formattest.Tensor) []formattest.Tensor {
		list[0].Name = "decoder.blocks.7.attn.query.weight"
		return list
	})
	other := dims(func(d *Dims) { d.NVocab = 60000 })
	wide := dims(func(d *Dims) { d.NAudioState, d.NTextState = 1<<20, 1<<20 })
	var plain formattest.Pickle
	plain.Op("\x80\x02}").Text("epoch").Int(3).Op("s.")
	var archive bytes.Buffer
	if err := formattest.Archive(&archive, plain.Bytes(), nil); err != nil {
		t.Fatal(err)
	}
	const atMels = 40 // of n_mels in the header, which the filters then contradict
	filters := smallGGML(t, d, nil, nil)
	binary.LittleEndian.PutUint32(filters[atMels:], 16)
	for name, c := range map[string]struct {
		data []byte
		want error
		says string
	}{
		"pt of another program":    {archive.Bytes(), ErrCheckpoint, "model_state_dict"},
		"pt with another tensor":   {smallTorch(t, d, renamed), ErrCheckpoint, "conv3"},
		"pt with another layer":    {smallTorch(t, d, beyond), ErrCheckpoint, "layers.7"},
		"pt of another vocabulary": {smallTorch(t, other, same), ErrVocabulary, "60000"},
		"pt of a huge state":       {smallTorch(t, wide, same), ErrDims, "1048576"},
		"ggml with another tensor": {smallGGML(t, d, nil, renamed), ErrCheckpoint, "conv3"},
		"ggml of a huge state":     {smallGGML(t, wide, nil, nil), ErrDims, "1048576"},
		"ggml of other filters":    {filters, ErrArchitecture, "mel filters (8, 201), want (16, 201)"},
		"ggml with too few tokens": {smallGGML(t, d, [][]byte{[]byte("a")}, same), ErrVocabulary, "1 tokens of text"},
		"ggml of other vocabulary": {smallGGML(t, other, nil, nil), ErrVocabulary, "60000"},
	} {
		var err error
		if n := allocated(func() { _, err = openBytes(c.data) }); n > limit {
			t.Errorf("%s: %d MB were allocated", name, n>>20)
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.says)
		}
	}
}

// allocated is how many bytes f allocates, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestSizesThatNoTensorHasAllocateNothing(t *testing.T) {
	d := Dims{
		NMels: maxMels, NAudioCtx: maxCtx, NAudioState: maxState, NAudioHead: 1, NAudioLayer: maxLayers,
		NVocab: maxVocab, NTextCtx: maxCtx, NTextState: maxState, NTextHead: 1, NTextLayer: maxLayers,
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if n := allocated(func() { _, err = LoadPlain(&Checkpoint{Dims: d}) }); n > 64<<20 || !errors.Is(err, ErrMissingTensor) {
		t.Errorf("%d MB, %v", n>>20, err)
	}
}

func TestSafetensorsHeaderThatLiesIsRefusedInBoundedMemory(t *testing.T) {
	for _, length := range []uint64{1 << 63, math.MaxUint64, 1 << 32, 99_999_999} {
		files, _ := tinyDir(t)
		files[fileTensors] = &fstest.MapFile{Data: append(binary.LittleEndian.AppendUint64(nil, length), "{}"...)}
		var err error
		n := allocated(func() { _, err = OpenFS(files) })
		if n > 64<<20 || !errors.Is(err, safetensors.ErrFormat) && !errors.Is(err, safetensors.ErrTruncated) {
			t.Errorf("a header of %d bytes: %d MB, %v", length, n>>20, err)
		}
	}
}

func TestNumbersThatAreNotFiniteAreRefusedByName(t *testing.T) {
	d := smallDims()
	tokens, err := upstreamTokens(d.NVocab)
	if err != nil {
		t.Fatal(err)
	}
	nan := upstreamTensors(d, safetensors.F16)[:1]
	nan[0].Data = bytes.Repeat([]byte{0x00, 0x7e}, 4*8*convKernel)
	for name, data := range map[string][]byte{"pt": smallTorch(t, d, nan), "ggml": smallGGML(t, d, tokens, nan)} {
		c, err := openBytes(data)
		if err != nil {
			t.Fatal(err)
		}
		p := outline(d).Params()[0]
		if _, err := c.Float32(p.Name, p.Shape()...); !errors.Is(err, safetensors.ErrNotFinite) || !strings.Contains(err.Error(), "encoder.conv1.weight") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := LoadPlain(c); err == nil {
			t.Errorf("%s: it loads", name)
		}
	}
}

// TestTokensThatLostTheirBytesAreRestored is of the files of whisper.cpp's first converter.
func TestTokensThatLostTheirBytesAreRestored(t *testing.T) {
	want, err := upstreamTokens(leastMultilingual)
	if err != nil {
		t.Fatal(err)
	}
	got, lost := slices.Clone(want), 0
	for i, token := range got {
		if text := replaceInvalid(token); text != string(token) {
			got[i] = []byte(text)
			lost++
		}
	}
	got[100] = []byte("another's") // which stays
	if err := restoreBytes(got, leastMultilingual); err != nil {
		t.Fatal(err)
	}
	want[100] = got[100]
	if lost == 0 || string(got[100]) != "another's" || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d tokens had lost bytes, and do not have them back", lost)
	}
}

// FuzzOpen checks that no file makes Open or the tensors that it finds panic.
func FuzzOpen(f *testing.F) {
	d := smallDims()
	d.NVocab = 300 // refused at last, so that no run decodes a vocabulary
	tensors := upstreamTensors(d, safetensors.F16)
	f.Add(smallTorch(f, d, tensors[:3]))
	f.Add(smallGGML(f, d, [][]byte{[]byte("a"), {}}, tensors[:3]))
	f.Add([]byte("GGUF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := openBytes(data); err == nil {
			for _, name := range c.Names() {
				x, _ := c.Tensor(name)
				c.Float32(name, x.Shape...) // NaN is refused
			}
		}
	})
}
