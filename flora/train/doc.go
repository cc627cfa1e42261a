// Package train trains adapters over a frozen model, and the whole of a small model from nothing.
//
// It has no backward pass of its own: the tape of [tensor.Ops] differentiates the same forward
// code that serves requests. What it adds is the data ([Options.Data]: data sets, sampling,
// augmentation, packed batches), the losses (cross entropy, CTC on the encoder's states, and attention guided to where CTC hears
// each token), the
// optimiser (AdamW with an average of the weights), and the loop with checkpoints that resume to
// the bit ([Run]), which ends when a dev set's error rate does, and leaves a curve and a model card.
package train
