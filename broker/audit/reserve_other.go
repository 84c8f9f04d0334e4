//go:build !linux

package audit

import "os"

// allocate gives f real blocks up to size.
func allocate(f *os.File, size int64) error { return fill(f, size) }
