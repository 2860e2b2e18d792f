// Package safetensors reads and writes the safetensors format of Hugging Face
// (https://huggingface.co/docs/safetensors): a JSON header with names, types,
// shapes and offsets, then raw little-endian elements. Files are mapped into
// memory; every claim of a header is checked before anything is read. Writing is
// deterministic and atomic. It knows nothing of libtorch.
package safetensors
