//go:build !linux

package stack

import "syscall"

// attributes put the child at the head of its own process group.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitStopped does not wait: the process may go on for a moment.
func awaitStopped(int) error { return nil }
