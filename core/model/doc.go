// Package model builds encoders and task heads on core/torch, loads them from
// Hugging Face folders and saves them there.
//
// A Model is one Encoder (BERT, RoBERTa, XLM-R, GPT-2 behind one
// interface), an optional pooler, and the heads that a run's HeadSpecs ask for.
// Weights carry the canonical names of package hf whatever the file called
// them, and leave under the names that transformers expects.
//
//	m, diags := model.Load(dir, specs, model.Options{Seed: 42})
//	in, err := m.Input(rows, 0)                    // one padded batch
//	loss, err := m.Loss(in, pass, norms)           // scalar, for Backward
//	out, err := m.Predict(in, false)               // probabilities per head
//
// Everything here runs on the thread that owns libtorch, inside torch.Do.
//
// Padding never counts: attention cannot see it, heads read only the [CLS]
// vector, the pooled tokens or the first pieces of words, and losses sum over
// labels alone. The package is built with `-tags torch`; package hf below it is
// plain Go.
package model
