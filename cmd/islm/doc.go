// Command islm makes an industry's model out of a general one.
//
// Two binaries are built from this folder. Without build tags it is pure Go;
// with tag torch it also holds the engine (core/train) and is installed as
// libexec/islm-torch. A command that needs tensors checks libtorch and then
// replaces itself by islm-torch, with the same process id and arguments.
//
// The files hold flags and printing only; core holds what the commands do.
package main
