//go:build unix

package host_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func stopProcess(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }
