package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end by itself before it is killed.
const stopGrace = 30 * time.Second

// readyWithin bounds the wait for readiness when the context does not: far above what is seen (7 s), for
// machines that do other things beside.
const readyWithin = time.Minute

// Command says how a process is started and when it is ready.
type Command struct {
	// Name is what errors and logs call it; required.
	Name string
	// Path is the program and Args its arguments; Path is required.
	Path string
	Args []string
	// Env is the environment. Nil means PATH, and HOME at Dir: what the developer or the CI has set for
	// other purposes does not reach the process.
	Env []string
	// Dir is its working directory; required.
	Dir string
	// Log is the file that takes its standard output and error, appended to over restarts; required.
	Log string
	// Ready returns nil as soon as the process can be used. It is called every 50 ms, with a context that
	// ends when the process does. Nil means ready when started.
	Ready func(context.Context) error
	// Within bounds the wait for Ready, as the context does. Zero means a minute.
	Within time.Duration
	// Orphaned is what the process gets when the one that started it dies. Zero means SIGKILL; a process with children
	// of its own needs one that lets it end them.
	Orphaned syscall.Signal
}

// Process is a child process that can be stopped, killed, paused and started again. It dies with the
// process that started it.
//
// Linux sends the parent-death signal when the parent's thread ends, not its process (prctl(2)), and Go
// ends threads as it likes. So the thread that starts the child is locked to a goroutine that lives as
// long as the child.
type Process struct {
	cmd Command

	mu  sync.Mutex
	run *run // the latest
}

// run is one life of a Process.
type run struct {
	proc *os.Process
	done chan struct{} // closed when it has ended and was waited for
	err  error         // how it ended; read after done
}

// Start starts a process and waits until it is ready. When it ends early, or is not ready in time, the
// error has the end of its log.
func Start(ctx context.Context, cmd Command) (*Process, error) {
	p := &Process{cmd: cmd}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Start starts the process again after it was stopped or killed, and waits until it is ready.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run.alive() {
		return fmt.Errorf("stack: %s runs already", p.cmd.Name)
	}
	r, err := p.cmd.launch()
	if err != nil {
		return fmt.Errorf("stack: start %s: %w", p.cmd.Name, err)
	}
	p.run = r
	if err := p.cmd.await(ctx, r); err != nil {
		_ = r.end(syscall.SIGKILL)
		return fmt.Errorf("stack: %s: %w\n%s", p.cmd.Name, err, p.LogTail(20))
	}
	return nil
}

func (c Command) launch() (*run, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = c.Dir, log, log, attributes(cmp.Or(c.Orphaned, syscall.SIGKILL))
	cmd.Env = c.Env
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir}
	}
	r, started := &run{done: make(chan struct{})}, make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, and that with the child
		err := cmd.Start()
		r.proc = cmd.Process
		started <- err
		if err == nil {
			r.err = cmd.Wait()
			close(r.done)
		}
	}()
	return r, <-started
}

// await polls until ready, and watches that the process is alive meanwhile.
func (c Command) await(ctx context.Context, r *run) error {
	if c.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Within, readyWithin))
	defer cancel()
	go func() { // so that a check which waits for an answer does not wait for a dead process
		select {
		case <-r.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	for tick := time.Tick(50 * time.Millisecond); ; {
		err := c.Ready(ctx)
		if !r.alive() { // whoever answered, it was not this process
			return fmt.Errorf("ended at start (%w)", r.how())
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if r.alive() {
				return fmt.Errorf("not ready in time: %w", err)
			}
		case <-tick:
		}
	}
}

// how says how an ended run ended.
func (r *run) how() error {
	if r.err == nil {
		return errors.New("exit status 0")
	}
	return r.err
}

func (r *run) alive() bool {
	if r == nil {
		return false
	}
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// end sends sig and waits; what does not end by itself is killed.
func (r *run) end(sig syscall.Signal) error {
	if !r.alive() {
		return nil
	}
	_ = r.proc.Signal(sig)
	_ = r.proc.Signal(syscall.SIGCONT) // a paused process acts on no other signal than KILL before it
	select {
	case <-r.done:
		return nil
	case <-time.After(stopGrace):
	}
	_ = r.proc.Kill()
	<-r.done
	return fmt.Errorf("did not end within %s of signal %s and was killed", stopGrace, sig)
}

func (p *Process) latest() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// Stop asks the process to end (SIGTERM) and waits for it. It is an error when the process had to be
// killed, and none when it does not run.
func (p *Process) Stop() error {
	if err := p.latest().end(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stack: %s %w", p.cmd.Name, err)
	}
	return nil
}

// Kill ends the process at once (SIGKILL), as a crash would.
func (p *Process) Kill() { _ = p.latest().end(syscall.SIGKILL) }

// Pause stops the process without ending it (SIGSTOP), and waits until it has stopped: connections stay
// open and are not answered.
func (p *Process) Pause() error {
	r := p.latest()
	if err := r.proc.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStopped(r.proc.Pid)
}

// Resume lets a paused process go on (SIGCONT).
func (p *Process) Resume() error { return p.latest().proc.Signal(syscall.SIGCONT) }

// Alive reports whether the process runs; a paused one does.
func (p *Process) Alive() bool { return p.latest().alive() }

// PID is the id of the latest run.
func (p *Process) PID() int { return p.latest().proc.Pid }

// Done is closed when the latest run has ended.
func (p *Process) Done() <-chan struct{} { return p.latest().done }

// LogTail returns the last n lines of the log, under a line that names the process.
func (p *Process) LogTail(n int) string {
	data, err := os.ReadFile(p.cmd.Log)
	if err != nil {
		return fmt.Sprintf("--- %s: %v", p.cmd.Name, err)
	}
	return fmt.Sprintf("--- the end of %s's log:\n%s", p.cmd.Name, tail(string(data), n))
}
