//go:build !linux

package stack

import "syscall"

// attributes put the child at the head of its own process group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
