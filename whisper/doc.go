// Package whisper is the model of Radford et al. 2022, "Robust Speech Recognition via Large-Scale
// Weak Supervision": an encoder of log-mel frames, a decoder of tokens, and the decoding loop
// around them, over packed rows.
//
// Shapes use fixed letters: nRow rows of all sequences packed together, nSeq sequences, nState the
// width, nHead heads, nCtx positions, nMels, nVocab. A row is a frame or a token, a sequence one
// hypothesis, an utterance one piece of audio. "Decoder" is the network, "decode" the loop.
//
// Our names beside upstream's (openai/whisper, model.py, decoding.py and timing.py):
//
//	Encoder, Decoder, Block, Attention   AudioEncoder, TextDecoder, ResidualAttentionBlock, MultiHeadAttention
//	Dims                                 ModelDimensions
//	Attention.Query Key Value Out        query key value out
//	Cache, CrossKV                       the kv_cache of the hooks
//	Filter                               LogitFilter
//	Search, Hypothesis                   TokenDecoder; MaximumLikelihoodRanker chooses among hypotheses
//	Open, Load                           load_model
//	Model.Decode, Batch                  DecodingTask.run and its _main_loop
//	Model.DetectLanguage                 detect_language
//	Model.AlignWords, MergePunctuations  find_alignment, merge_punctuations
package whisper
