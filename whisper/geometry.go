package whisper

// geometries are the sizes of upstream's models: the table of its README.md and model-card.md, and the sizes in the models' own files.
var geometries = []struct {
	name                                                  string
	nMels, nState, nHead, nAudioLayer, nTextLayer, nVocab int
}{
	{"tiny.en", 80, 384, 6, 4, 4, 51864},
	{"tiny", 80, 384, 6, 4, 4, 51865},
	{"base.en", 80, 512, 8, 6, 6, 51864},
	{"base", 80, 512, 8, 6, 6, 51865},
	{"small.en", 80, 768, 12, 12, 12, 51864},
	{"small", 80, 768, 12, 12, 12, 51865},
	{"medium.en", 80, 1024, 16, 24, 24, 51864},
	{"medium", 80, 1024, 16, 24, 24, 51865},
	{"large-v1", 80, 1280, 20, 32, 32, 51865},
	{"large-v2", 80, 1280, 20, 32, 32, 51865},
	{"large-v3", 128, 1280, 20, 32, 32, 51866},
	{"large-v3-turbo", 128, 1280, 20, 32, 4, 51866},
}

// shortNames are upstream's other names of models (its _MODELS).
var shortNames = map[string]string{"large": "large-v3", "turbo": "large-v3-turbo"}

// Geometry returns the sizes of the published model of upstream's that is called name, such as "tiny" or "turbo".
func Geometry(name string) (d Dims, ok bool) {
	if long, ok := shortNames[name]; ok {
		name = long
	}
	for _, g := range geometries {
		if g.name == name {
			return Dims{
				NMels: g.nMels, NAudioCtx: 1500, NAudioState: g.nState, NAudioHead: g.nHead, NAudioLayer: g.nAudioLayer,
				NVocab: g.nVocab, NTextCtx: 448, NTextState: g.nState, NTextHead: g.nHead, NTextLayer: g.nTextLayer,
			}, true
		}
	}
	return Dims{}, false
}

// Geometries returns the names of upstream's published models, from small to large.
func Geometries() []string {
	names := make([]string, len(geometries))
	for i, g := range geometries {
		names[i] = g.name
	}
	return names
}

// Outline returns a model of the sizes d whose parameters have their shapes and no numbers, for [Model.Fill]: see [New] for one of
// zeros.
func Outline(d Dims) *Model { return outline(d) }
