// Package pickle reads the tensors of PyTorch checkpoints (pytorch_model.bin,
// the zip format of torch.save since 1.6) without Python and without running
// anything: its unpickler knows the opcodes that such files use and refuses
// every global but the few that build dictionaries and tensors, by name. Writing
// is what package safetensors is for.
package pickle
