// Package transcript reads and writes the files that references and hypotheses come in, and puts the two side by side.
//
// The formats are those of NIST's SCTK (doc/infmts.htm) and of the toolkits of the field:
//
//	trn    words (speaker-utterance)
//	ctm    recording channel start duration word [confidence]
//	stm    recording channel speaker start end [<labels>] words
//	jsonl  {"id": …, "audio_filepath": …, "ref": …, "hyp": …}, by these and other names (see the table in jsonl.go)
//	kaldi  utterance words
//	text   words
//
// A Source is one side of a comparison. Pairs reads the sources of a test set as streams and yields each utterance when all of them have told
// of it: what is held in memory is what one file has and another has not yet, and a hash of what has come.
//
// Files are of UTF-8, with or without a byte order mark, their lines ended in either way; they may be compressed by gzip. Every error of what a
// file says wraps ErrSyntax or ErrUnpaired and begins with file:line.
package transcript
