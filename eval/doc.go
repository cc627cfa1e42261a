// Package eval measures recognition: text in, numbers out.
//
// The path of one utterance is Normalise (what counts as a difference), Words and Characters (what counts as a unit),
// Count or Align (the least-edit alignment) and Score (the sums that error rates are made of). A Report holds the scores of
// languages and adapters, Bootstrap says how far chance alone could have moved them, and ReadManifest names the utterances.
//
// Every function is deterministic and safe for concurrent use; the package holds no state.
package eval
