//go:build torch

package torch

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/torch/internal/shim"
)

// Device is where a tensor lies: CPU, or the number of a CUDA device.
type Device int

// CPU is the host.
const CPU Device = -1

// String is PyTorch's name of the device.
func (d Device) String() string {
	if d < 0 {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(int(d))
}

// ParseDevice reads "cpu", "cuda" or "cuda:N"; "auto" is CUDA when there is one.
func ParseDevice(name string) (Device, error) {
	switch {
	case name == "cpu":
		return CPU, nil
	case name == "auto" || name == "":
		if len(CUDADevices()) > 0 {
			return 0, nil
		}
		return CPU, nil
	case name == "cuda":
		return cudaDevice(0)
	case strings.HasPrefix(name, "cuda:"):
		n, err := strconv.Atoi(name[5:])
		if err != nil || n < 0 {
			return CPU, fmt.Errorf("device %q: want cpu, cuda or cuda:N", name)
		}
		return cudaDevice(n)
	}
	return CPU, fmt.Errorf("device %q: want cpu, cuda or cuda:N", name)
}

// CUDADevice describes one GPU.
type CUDADevice struct {
	Index  int
	Name   string
	Memory int64 // bytes
}

// CUDA opens libtorch's CUDA part, once; the error says why it cannot be used.
// It must come before the first computation of the process: libtorch settles
// then whether there is CUDA. CPU runs never open it.
func CUDA() error {
	if e := shim.CUDAOpen(); e != "" {
		return fmt.Errorf("open CUDA: %s", e)
	}
	if shim.CUDACount() == 0 {
		return fmt.Errorf("open CUDA: libtorch finds no device (or computed before CUDA was opened)")
	}
	return nil
}

// CUDADevices lists the GPUs that libtorch can use; none when CUDA cannot be opened.
func CUDADevices() []CUDADevice {
	if CUDA() != nil {
		return nil
	}
	var out []CUDADevice
	for i := range shim.CUDACount() {
		d := CUDADevice{Index: i}
		if name, total, _, e := shim.CUDADescribe(i); e == "" {
			d.Name, d.Memory = name, total
		}
		out = append(out, d)
	}
	return out
}

// Synchronize waits until a CUDA device has done what was asked of it.
func Synchronize(d Device) {
	if d < 0 {
		return
	}
	if e := shim.CUDASync(int(d)); e != "" {
		fail("synchronize", e)
	}
}

// FasterBF16 says whether products in bfloat16 are faster than in float32 on a
// device. On x86 that needs AMX, or AVX512-BF16 by AMD: Intel's processors
// without AMX run the latter at half the rate of float32 (160 and 80 GF/s per
// core on an Emerald Rapids).
func FasterBF16(d Device) bool {
	if d >= 0 {
		return true
	}
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return false
	}
	text, _, _ := strings.Cut(string(data), "\n\n")
	has := func(flag string) bool { return strings.Contains(text, " "+flag) }
	return has("amx_bf16") || has("avx512_bf16") && strings.Contains(text, "AuthenticAMD")
}

// NumThreads is the number of threads that an operator uses. It may be called
// from anywhere.
func NumThreads() (n int) {
	// Nothing in the closure fails.
	_ = Do(func() { n = shim.NumThreads() })
	return n
}

// SetNumThreads sets it; results in float32 are repeatable at a fixed number.
func SetNumThreads(n int) {
	if !shim.OwnsThread() {
		fail("set_num_threads", "called outside torch.Do")
	}
	if e := shim.SetNumThreads(n); e != "" {
		fail("set_num_threads", e)
	}
}

// Version is libtorch's version, as "2.11.0".
func Version() string { return shim.Version() }

// CPUCapability is the instruction set that libtorch's kernels use.
func CPUCapability() string { return shim.CPUCapability() }

// TrimMemory returns freed memory to the operating system, after a phase that
// needed much more than the next.
func TrimMemory() { shim.TrimMalloc() }

func cudaDevice(n int) (Device, error) {
	if err := CUDA(); err != nil {
		return CPU, err
	}
	if c := shim.CUDACount(); n >= c {
		return CPU, fmt.Errorf("device cuda:%d: libtorch finds %d devices", n, c)
	}
	return Device(n), nil
}
