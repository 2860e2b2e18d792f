package libtorch

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func codes(ds sdk.Diagnostics) map[string]int {
	m := map[string]int{}
	for _, d := range ds {
		m[d.Code]++
	}
	return m
}

// install builds a small installation with the C++ compiler: libc10 with or
// without the C++11 ABI, and a libtorch_cpu that needs it and one more library.
func install(t *testing.T, version, abi string) Install {
	t.Helper()
	cxx, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("g++ is missing: the ELF checks need a compiler")
	}
	dir := t.TempDir()
	lib := filepath.Join(dir, "lib")
	require.NoError(t, os.MkdirAll(lib, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "version.py"), []byte("__version__ = '"+version+"'\n"), 0o644))
	build := func(name, code string, more ...string) {
		src := filepath.Join(dir, name+".cpp")
		require.NoError(t, os.WriteFile(src, []byte(code), 0o644))
		args := append([]string{"-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=" + abi, "-Wl,-rpath,$ORIGIN", "-o", filepath.Join(lib, name), src}, more...)
		out, err := exec.Command(cxx, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	build("libc10.so", "#include <string>\nnamespace c10 { void say(const std::string& s) {} }")
	build("libextra.so.1", "extern \"C\" void extra() {}")
	build("libtorch_cpu.so", "extern \"C\" void extra(); void f() { extra(); }", "-L"+lib, "-l:libc10.so", "-l:libextra.so.1", "-Wl,--no-as-needed")
	return Install{Dir: dir, Origin: "LIBTORCH"}
}

func TestCheckNamesEachProblem(t *testing.T) {
	require.Empty(t, Check(install(t, Version+"+cpu", "1"), false))

	old := Check(install(t, "2.1.0", "0"), false)
	require.Equal(t, map[string]int{"libtorch.version": 1, "libtorch.abi": 1}, codes(old))

	in := install(t, Version, "1")
	require.NoError(t, os.Remove(filepath.Join(in.Lib(), "libextra.so.1")))
	ds := Check(in, false)
	require.Equal(t, map[string]int{"libtorch.library": 1}, codes(ds))
	require.Contains(t, ds[0].Summary, "libextra.so.1")

	ds = Check(install(t, Version, "1"), true)
	require.Equal(t, map[string]int{"libtorch.cuda": 2}, codes(ds))
	require.Contains(t, ds[0].Remedy, "GPU=1")

	in = install(t, Version, "1")
	require.NoError(t, os.Truncate(filepath.Join(in.Lib(), "libtorch_cpu.so"), 100))
	require.Equal(t, map[string]int{"libtorch.corrupt": 1}, codes(Check(in, false)))

	require.Equal(t, map[string]int{"libtorch.missing": 1}, codes(Check(Install{Dir: filepath.Join(t.TempDir(), "none")}, false)))
	for _, d := range old {
		require.NotEmpty(t, d.Remedy)
	}
}

func TestHeaderVersion(t *testing.T) {
	dir := t.TempDir()
	h := filepath.Join(dir, "include/torch/headeronly")
	require.NoError(t, os.MkdirAll(h, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(h, "version.h"), []byte("#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 9\n#define TORCH_VERSION_PATCH 1\n"), 0o644))
	v, err := Install{Dir: dir}.InstalledVersion()
	require.NoError(t, err)
	require.Equal(t, "2.9.1", v)
}

func TestMachineLimits(t *testing.T) {
	require.Empty(t, CheckMemory(8<<30, MinMemory))
	require.Equal(t, "machine.memory", CheckMemory(1<<20, MinMemory)[0].Code)
	require.Equal(t, "machine.disk", CheckFolder(t.TempDir(), 1<<60)[0].Code)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Equal(t, "machine.unwritable", CheckFolder(filepath.Join(file, "below"), 0)[0].Code)
	require.Equal(t, "cuda.driver", Machine{Driver: "470.82.01"}.CheckGPU()[0].Code)
	require.Empty(t, Machine{Driver: "580.65"}.CheckGPU())
	require.Empty(t, Machine{}.CheckGPU())
	m := Probe()
	require.Positive(t, m.Cores)
	require.Positive(t, m.MemoryTotal)
}

func TestLocate(t *testing.T) {
	env := map[string]string{"HOME": "/home/x"}
	in, err := Locate(func(k string) string { return env[k] })
	require.NoError(t, err)
	require.Equal(t, "/home/x/.cache/islm/libtorch/"+Version+"/torch", in.Dir)
	env["LIBTORCH"] = "/opt/torch"
	in, err = Locate(func(k string) string { return env[k] })
	require.NoError(t, err)
	require.Equal(t, Install{"/opt/torch", "LIBTORCH"}, in)
	_, err = Locate(func(string) string { return "" })
	require.ErrorContains(t, err, "ISLM_HOME")
}

func TestCgroupMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, tc := range map[string]struct {
		files       fstest.MapFS
		limit, left int64
		ok          bool
	}{
		"none": {fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("max\n"), "sys/fs/cgroup/memory.current": file("5\n")}, 0, 0, false},
		"version 2, bound by the group above, cached files are left": {fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/memory.max": file("1000\n"), "sys/fs/cgroup/a/memory.current": file("900\n"), "sys/fs/cgroup/a/memory.stat": file("anon 600\ninactive_file 300\n"),
			"sys/fs/cgroup/a/b/memory.max": file("2000\n"), "sys/fs/cgroup/a/b/memory.current": file("900\n")}, 1000, 400, true},
		"version 1, the path of the machine": {fstest.MapFS{"proc/self/cgroup": file("4:cpu,memory:/docker/x\n1:cpuset:/docker/x\n0::/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("4096\n"), "sys/fs/cgroup/memory/memory.usage_in_bytes": file("4000\n"),
			"sys/fs/cgroup/memory/memory.stat": file("inactive_file 1\ntotal_inactive_file 96\n")}, 4096, 192, true},
		"version 1, no limit": {fstest.MapFS{"proc/self/cgroup": file("4:memory:/\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/memory.usage_in_bytes": file("1\n")}, 0, 0, false},
		"no such file": {fstest.MapFS{}, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if limit, left, ok := cgroupMemory(tc.files); limit != tc.limit || left != tc.left || ok != tc.ok {
				t.Errorf("%d, %d left, %t; want %d, %d, %t", limit, left, ok, tc.limit, tc.left, tc.ok)
			}
		})
	}
}
