// Package libtorch finds a libtorch installation, checks it and says what is
// wrong with it before anything is linked against it or started with it.
//
// It is pure Go and never loads the library: versions come from headers,
// the C++ ABI and the needed libraries from the ELF files. The same code serves
// `make bootstrap`, which unpacks libtorch, `islm doctor`, which explains the
// machine, and the start of a command that needs tensors.
package libtorch
