// Package eval measures recognition: text in, numbers out.
//
// The path of one utterance, a Pair, is a Normaliser (what counts as a difference), Words and Characters (what counts as a unit), Count
// or AlignBy (the alignment of least cost, Levenshtein's or sclite's, through the alternatives of a reference where it has them) and an
// Outcome: Scorer does it all. A Report holds the sums of languages and adapters, from which error rates are made, Classes those of
// numbers, names and the like; Bootstrap says how far chance alone could have moved them, and ReadManifest names the utterances.
//
// Every function is deterministic and safe for concurrent use; the package holds no state.
package eval
