package libtorch

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/islm-dev/islm/sdk"
)

// Machine is what doctor prints of the computer it runs on.
type Machine struct {
	OS, Arch    string
	CPU         string
	Cores       int
	Bfloat16    bool  // the processor multiplies bf16 in hardware
	MemoryTotal int64 // of the machine, or what a container may have of it
	MemoryFree  int64 // available without swapping
	GPUs        []string
	Driver      string // version of the NVIDIA kernel driver, "" without one
}

// Probe reads the machine from /proc and the driver's own files.
func Probe() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0)} // no more than a container may use
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			k, v, _ := strings.Cut(sc.Text(), ":")
			switch strings.TrimSpace(k) {
			case "model name":
				m.CPU = strings.TrimSpace(v)
			case "flags":
				m.Bfloat16 = strings.Contains(v, "avx512_bf16") || strings.Contains(v, "amx_bf16")
			}
		}
	}
	m.MemoryTotal, m.MemoryFree = meminfo()
	if total, free, ok := cgroupMemory(os.DirFS("/")); ok {
		m.MemoryTotal, m.MemoryFree = min(m.MemoryTotal, total), min(m.MemoryFree, free)
	}
	if b, err := os.ReadFile("/proc/driver/nvidia/version"); err == nil {
		if v := regexp.MustCompile(`\b(\d+\.\d+(\.\d+)?)\b`).FindString(string(b)); v != "" {
			m.Driver = v
		}
	}
	infos, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	for _, p := range infos {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "Model" {
				m.GPUs = append(m.GPUs, strings.TrimSpace(v))
			}
		}
	}
	return m
}

func meminfo() (total, available int64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			total = kb << 10
		case "MemAvailable:":
			available = kb << 10
		}
	}
	return total, available
}

// cgroupMemory reads what the control groups of this process, of version 1 or 2, let
// it have: the least of the limits, and the least of what is left of one. Pages of
// files that nobody waits for count as left. ok is false without any limit.
func cgroupMemory(root fs.FS) (limit, left int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, 0, false
	}
	number := func(name string) (int64, bool) {
		raw, err := fs.ReadFile(root, name)
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		return n, err == nil // "max" is no limit
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		base, most, now, idle := "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "
		switch {
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			base, most, now, idle = base+"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "
		case parts[1] != "":
			continue
		}
		// A group is bound by those above it, too. In a container the path may be that of
		// the machine, which is not to be seen inside: then the root is the group.
		for at := path.Join(base, parts[2]); strings.HasPrefix(at, base); at = path.Dir(at) {
			n, limited := number(path.Join(at, most))
			used, known := number(path.Join(at, now))
			if !limited || !known || n >= 1<<60 {
				continue
			}
			stat, _ := fs.ReadFile(root, path.Join(at, "memory.stat"))
			for line := range strings.Lines(string(stat)) {
				if v, found := strings.CutPrefix(line, idle); found {
					cached, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
					used -= min(cached, used)
				}
			}
			if free := max(0, n-used); !ok {
				limit, left, ok = n, free, true
			} else {
				limit, left = min(limit, n), min(left, free)
			}
		}
	}
	return limit, left, ok
}

// PeakRSS is the largest resident size of this process so far, in bytes; 0 where the
// system does not tell. The figure of getrusage would do less: it begins with that of
// the process that started this one.
func PeakRSS() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if fields := strings.Fields(sc.Text()); len(fields) > 1 && fields[0] == "VmHWM:" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// CheckGPU reports what keeps this libtorch from using the GPUs of the machine;
// a machine without a driver has no problem.
func (m Machine) CheckGPU() sdk.Diagnostics {
	if m.Driver == "" {
		return nil
	}
	major, _ := strconv.Atoi(strings.SplitN(m.Driver, ".", 2)[0])
	if major < MinDriver {
		return sdk.Diagnostics{problem("cuda.driver", "", fmt.Sprintf("driver %s is too old for CUDA %s", m.Driver, CUDA),
			fmt.Sprintf("install NVIDIA driver %d or newer, or run on the CPU with --device cpu", MinDriver))}
	}
	return nil
}

// Least memory and disk that a run of the default base model needs.
const (
	MinMemory = 2 << 30
	MinDisk   = 1 << 30
)

// CheckMemory reports too little free memory.
func CheckMemory(available, need int64) sdk.Diagnostics {
	if available == 0 || available >= need {
		return nil
	}
	return sdk.Diagnostics{problem("machine.memory", "", fmt.Sprintf("%s of memory are free, %s are needed", Bytes(available), Bytes(need)),
		"end other programs, lower train.batch_size or data.max_length, or use a larger machine")}
}

// CheckFolder reports a folder that cannot be written to, or whose file system
// has less than need bytes left. The folder is created.
func CheckFolder(dir string, need int64) sdk.Diagnostics {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return sdk.Diagnostics{problem("machine.unwritable", dir, "the folder cannot be created: "+err.Error(), "set ISLM_HOME to a folder that you may write to")}
	}
	f, err := os.CreateTemp(dir, "probe-*.tmp")
	if err != nil {
		return sdk.Diagnostics{problem("machine.unwritable", dir, "the folder cannot be written to: "+err.Error(), "set ISLM_HOME to a folder that you may write to, or change the folder's permissions")}
	}
	f.Close()
	os.Remove(f.Name())
	if free, err := FreeDisk(dir); err == nil && free < need {
		return sdk.Diagnostics{problem("machine.disk", dir, fmt.Sprintf("%s of disk are free, %s are needed", Bytes(free), Bytes(need)),
			"free some space, or set ISLM_HOME to a larger disk ('islm cache prune' removes what can be made again)")}
	}
	return nil
}

// FreeDisk is the space in bytes that an ordinary user may still fill.
func FreeDisk(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for free disk space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Bytes formats a size in binary units with one decimal.
func Bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
