//go:build !linux

package share

import "errors"

// exchange swaps two folders in one step, which only Linux can.
func exchange(_, _ string) error { return errors.ErrUnsupported }
