package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/islm-dev/islm/core/libtorch"
	"github.com/islm-dev/islm/sdk"
)

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look at the machine, libtorch and the folders, and say what is wrong",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			home, err := a.home()
			if err != nil {
				return err
			}
			in, err := libtorch.Locate(a.getenv)
			if err != nil {
				return err
			}
			m := libtorch.Probe()
			ds := libtorch.Check(in, m.Driver != "")
			ds = append(ds, m.CheckGPU()...)
			ds = append(ds, libtorch.CheckFolder(home, libtorch.MinDisk)...)
			ds = append(ds, libtorch.CheckFolder(os.TempDir(), 64<<20)...)
			ds = append(ds, libtorch.CheckMemory(m.MemoryFree, libtorch.MinMemory)...)
			if exe, err := os.Executable(); err == nil && newEngine() == nil {
				if exe, err = filepath.EvalSymlinks(exe); err == nil {
					torch := filepath.Join(filepath.Dir(exe), "libexec", "islm-torch")
					if _, err := os.Stat(torch); err != nil {
						ds.Add(sdk.Diagnostic{Code: "islm.no-engine", File: torch, Summary: "islm-torch is not installed beside islm", Remedy: "run 'make build'"})
					}
				}
			}
			model, _ := libtorch.BaseModel()
			if _, err := os.Stat(filepath.Join(home, "models", model, "config.json")); err != nil {
				ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "model.missing", File: filepath.Join(home, "models", model), Summary: "the default base model " + model + " is not in the model store", Remedy: "run 'make bootstrap', or name another with --base"})
			}
			free, _ := libtorch.FreeDisk(home)
			version, _ := in.InstalledVersion()
			if a.json {
				devices := append([]string{"cpu"}, m.GPUs...)
				if err := a.print(map[string]any{"islm": a.versionLine(), "machine": m, "devices": devices, "libtorch": map[string]string{"dir": in.Dir, "origin": in.Origin, "version": version, "needs": libtorch.Version, "cuda": libtorch.CUDA},
					"home": home, "disk_free_bytes": free, "diagnostics": ds}); err != nil {
					return err
				}
			} else {
				a.doctorText(home, in, version, m, free)
				for _, d := range ds {
					fmt.Fprintln(a.stdout, d.String())
				}
				if len(ds) == 0 {
					fmt.Fprintln(a.stdout, "all is well")
				}
			}
			if ds.HasErrors() {
				return errProblems
			}
			return nil
		},
	}
}

func (a *app) versionLine() string { return version }

func (a *app) doctorText(home string, in libtorch.Install, version string, m libtorch.Machine, free int64) {
	row := func(k, format string, args ...any) {
		fmt.Fprintf(a.stdout, "%-12s "+format+"\n", append([]any{k}, args...)...)
	}
	bf16 := "no bf16 in hardware: train.precision auto means fp32"
	if m.Bfloat16 {
		bf16 = "bf16 in hardware"
	}
	row("islm", "%s", a.versionLine())
	row("processor", "%s, %d cores, %s", m.CPU, m.Cores, bf16)
	row("memory", "%s, %s free", libtorch.Bytes(m.MemoryTotal), libtorch.Bytes(m.MemoryFree))
	if len(m.GPUs) > 0 {
		row("devices", "cpu, %s (cuda)", strings.Join(m.GPUs, ", "))
	} else {
		row("devices", "cpu")
	}
	if m.Driver != "" {
		row("driver", "NVIDIA %s; CUDA %s needs %d or newer", m.Driver, libtorch.CUDA, libtorch.MinDriver)
	} else {
		row("driver", "none; a GPU would need an NVIDIA driver %d or newer (CUDA %s)", libtorch.MinDriver, libtorch.CUDA)
	}
	if version == "" {
		version = "not found"
	}
	row("libtorch", "%s (needed: %s), %s from %s", version, libtorch.Version, in.Dir, in.Origin)
	row("ISLM_HOME", "%s, %s free", home, libtorch.Bytes(free))
}
