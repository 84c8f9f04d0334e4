package stack

import "syscall"

// attributes put the child at the head of its own process group and let the kernel kill it when the
// thread that started it ends, see [Process].
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
