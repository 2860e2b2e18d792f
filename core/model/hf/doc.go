// Package hf reads and checks model folders in Hugging Face's layout without
// touching a tensor library: config.json, the names and shapes of the weights
// (model.safetensors, a sharded index, pytorch_model.bin), and what a folder
// lacks. core/model builds modules from it; `islm model inspect` prints it.
//
// Names. Inside islm every weight has one canonical name: the name that the
// bare encoder has in transformers ("encoder.layer.0.attention.self.query.weight"),
// without the architecture's prefix ("bert.") and with LayerNorm's modern
// "weight" and "bias" instead of "gamma" and "beta". Folder.Names maps what a
// file calls a tensor to that name.
//
// Everything that is wrong with a folder comes back at once, as diagnostics
// that name the file, the key, and the expected and the found shape.
package hf
