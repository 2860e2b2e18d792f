//go:build torch

package kge

import "golang.org/x/sys/unix"

// peakRSS is the largest resident size of this process so far, in bytes.
func peakRSS() int64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return int64(usage.Maxrss) << 10
}
