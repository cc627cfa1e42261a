// Package flora holds low-rank adapters of a Whisper model and applies a different one to each
// utterance of a batch, after Wen & Chaudhuri, "Batched Low-Rank Adaptation of Foundation Models",
// ICLR 2024 (arXiv 2312.05677).
//
// Every kind is a case of one form of a linear's weight W (nOut, nIn), scaling and adding:
//
//	y = c ∘ (h x Wᵀ + Σ_k a_k ∘ ((b_k ∘ x) Wᵀ) + (x Vᵀ) Uᵀ) + bias + d
//
// fLoRA of rank r has r terms in the sum, a_k and b_k the rows of A (r, nOut) and B (r, nIn), so
// that the weight of an utterance is W ∘ (Aᵀ B) (the paper's eqs. 3 and 4, with a sum where the
// paper takes a mean). LoRA (Hu et al. 2022) has h = 1, V = A (r, nIn) and U = α/r B
// (nOut, r), or α/√r B (rsLoRA, Kalajdzievski 2023). [Kind] lists them all, [Factors] has the form.
//
// An [Adapter] is read from a PEFT directory by [Open], made a directory by [Adapter.Write], made another kind by
// [Adapter.Convert] and part of a model by [Merge]. A [Batch] is what a model's linears call; how it computes a linear under
// an adapter is a [Strategy], chosen by what each would cost on the machine ([Calibrate]). A [Bank] holds adapters by name,
// lets them come and go while they serve, and keeps them within a budget.
package flora
