// Package hub pulls models and adapters from a Hugging Face hub into a cache on disk, and finds them there again without any
// network.
//
// The cache is that of huggingface_hub ("Hub Local Cache" in the hub's documentation, written for reimplementations), in the
// same place, so that what transformers and its relatives have downloaded need not be downloaded again, nor kept twice:
//
//	~/.cache/huggingface/hub/            or $HF_HUB_CACHE, or $HF_HOME/hub
//	  models--openai--whisper-tiny/
//	    blobs/HASH                       a file by its content: sha256, or git's sha1 where it is small
//	    blobs/HASH.incomplete            as much of it as has come
//	    snapshots/COMMIT/config.json     symbolic links to the blobs
//	    refs/main                        the commit that the branch was at
//	  .locks/models--openai--whisper-tiny/HASH.lock
//
// Two pulls at once and a crash are safe in it. A blob grows under a lock, is checked against its hash as it lies on the disk,
// synchronised and renamed. A snapshot is taken for a model when all that a model needs is there; the weights are linked last,
// and the branch is moved after them.
//
// What the server says is not trusted: only files of names known beforehand, or the one that the user named, are taken, of the
// size that was told before the download began, through at most a few redirects, and never with the token to another host.
package hub

import "errors"

// Errors of this package; every one of them comes with the names at fault.
var (
	ErrName      = errors.New("hub: not the name of a repository")
	ErrNotPulled = errors.New("hub: not pulled")
	ErrFiles     = errors.New("hub: no model and no adapter")
	ErrNotFound  = errors.New("hub: not found")
	ErrDenied    = errors.New("hub: access denied")
	ErrServer    = errors.New("hub: unexpected answer")
	ErrChecksum  = errors.New("hub: wrong checksum")
	ErrOffline   = errors.New("hub: offline")
)
