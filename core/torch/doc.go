// Package torch is the fence around libtorch: no other package of islm imports
// gotch, and no exported signature mentions it. It offers tensors with scopes
// that free deterministically, the operators that encoders and their heads
// need, autograd, optimizers, a counter-based generator for dropout and new
// weights, and devices. It knows nothing of models or of training.
//
// # One thread
//
// libtorch keeps errors, gradient mode and autocast per OS thread, and each
// thread that computes starts an OpenMP team of its own. So one locked OS thread
// owns libtorch in a process, and [Do] sends it closures:
//
//	err := torch.Do(func() {
//		s := torch.Open()
//		defer s.Close()
//		x := torch.FromFloat32([]float32{1, 2, 3, 4}, 2, 2)
//		fmt.Println(x.MatMul(x).Float32s())
//	})
//
// Inside, operators panic with an [*Error] that names the operator, the shapes
// and types of its operands and libtorch's reason; Do returns it. All
// functions and methods of this package must be called inside Do, but for Do,
// NumThreads and the questions about devices.
//
// # Scopes
//
// A tensor belongs to the innermost scope that is open when it is made and is
// freed when that scope closes; [Scope.Keep] moves it one scope up. Tensors made
// while no scope is open belong to nobody and live until [Tensor.Free]. There
// are no finalizers. [Live] counts the handles.
//
// # Randomness
//
// Dropout masks and new weights come from Philox4x32-10. A mask is a function of
// (seed, stream, step, layer, key of the row, element within the row), so it
// does not depend on micro-batching, padding width, thread count or device.
//
// The package is tagged: it is built with -tags torch (scripts/go).
package torch
