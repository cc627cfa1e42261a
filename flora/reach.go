package flora

import "glossa/whisper"

// Reach says from where on what is computed for a window differs under an adapter from the base model,
// and so what of the base model's pass serves under the adapter too, to the bit.
type Reach uint8

// The reaches, each of which includes those before it.
const (
	ReachDecoder Reach = iota // the decoder's rows: keys and values of cross-attention are the base model's
	ReachCross                // those keys and values: the encoder's states are the base model's
	ReachEncoder              // the encoder's states
)

// Reach returns the reach of the adapter.
func (a *Adapter) Reach() Reach {
	reach := ReachDecoder
	for site := range a.Sites {
		switch {
		case site.Stack == whisper.EncoderStack:
			return ReachEncoder
		case site.Role == whisper.CrossKey || site.Role == whisper.CrossValue:
			reach = ReachCross
		}
	}
	return reach
}
