package stack

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes put the child at the head of its own process group and let the kernel signal it when the
// thread that started it ends, see [Process].
func attributes(orphaned syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: orphaned}
}

// awaitStopped waits until all threads of a process have taken SIGSTOP: until then they may go on to
// answer requests. Nothing is reaped by it.
func awaitStopped(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
