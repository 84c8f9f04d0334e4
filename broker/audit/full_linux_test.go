package audit_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
)

// smallDiskEnv tells the test that it runs where it may mount.
const smallDiskEnv = "INTERCOM_AUDIT_TEST_MOUNT"

// onSmallDisk runs the test again in a mount namespace of its own, which ends with it, and there returns
// a directory on a disk of that many bytes; outside it returns "".
func onSmallDisk(t *testing.T, size string) (dir string) {
	t.Helper()
	if os.Getenv(smallDiskEnv) == t.Name() {
		dir = t.TempDir()
		if err := errors.Join(
			syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size),
		); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		return dir
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	again.Env = append(os.Environ(), smallDiskEnv+"="+t.Name())
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := again.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "operation not permitted") {
		t.Skipf("no disk of our own without the right to mount: %v %s", err, out)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("on a small disk: %v\n%s", err, out)
	}
	return ""
}

// ballast fills what is left of the disk.
func ballast(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk ended with %v", err)
	}
	return path
}

// until records events of one sort until one is refused, and returns how many were not.
func until(t *testing.T, l *audit.Log, event func(id string) audit.Event) (n int, refusal error) {
	t.Helper()
	for ; n < 100_000; n++ {
		if err := l.Record(t.Context(), event(audit.NewID())); err != nil {
			return n, err
		}
	}
	t.Fatal("the disk does not get full")
	return 0, nil
}

func mustBeFull(t *testing.T, err error) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != fault.Unavailable || f.Reason != audit.ReasonFull {
		t.Fatalf("the refusal is %v, want %s", err, audit.ReasonFull)
	}
}

func denied(id string) audit.Event {
	e := decision(id)
	e.Allow = false
	return e
}

func TestAFullDiskRefusesAndSaysSo(t *testing.T) {
	disk := onSmallDisk(t, "2m")
	if disk == "" {
		return
	}
	l, dir := open(t, audit.Config{Dir: filepath.Join(disk, "audit"), Reserve: 512 << 10, CheckpointEvery: 20 * time.Millisecond})
	acts(t, l, 1)
	if err := l.Ready(); err != nil {
		t.Fatalf("not ready with space: %v", err)
	}
	path := ballast(t, disk)
	grants, err := until(t, l, decision)
	mustBeFull(t, err)
	if err := l.Ready(); err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("Ready says %v", err)
	}
	began := outcome(audit.NewID()) // of an act that had begun
	record(t, l, began)
	denials, err := until(t, l, denied)
	mustBeFull(t, err)
	outcomes, err := until(t, l, outcome)
	mustBeFull(t, err)
	if denials == 0 || outcomes == 0 {
		t.Errorf("after %d grants the reserve took %d denials and %d outcomes", grants, denials, outcomes)
	}
	// A checkpoint may be failing at this very moment, and leave a torn line until it is taken back.
	if r := verify(t, dir); r.Broken != nil || r.Denied != denials || r.Outcomes != outcomes+2 {
		t.Errorf("%d denials and %d outcomes are in the log, want %d and %d", r.Denied, r.Outcomes, denials, outcomes+2)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready when there is space again", func() bool { return l.Ready() == nil })
	record(t, l, decision(audit.NewID()))
	mustClose(t, l)
	mustClean(t, dir)
	t.Logf("%d grants, then %d denials, then %d outcomes", grants, denials, outcomes)
}

// A process that starts on a disk that is full goes on with what is left of its reserve.
func TestARestartOnAFullDisk(t *testing.T) {
	disk := onSmallDisk(t, "2m")
	if disk == "" {
		return
	}
	cfg := audit.Config{Dir: filepath.Join(disk, "audit"), Reserve: 512 << 10}
	l, dir := open(t, cfg)
	acts(t, l, 1)
	path := ballast(t, disk)
	_, err := until(t, l, decision)
	mustBeFull(t, err)
	mustClose(t, l)
	again, _ := open(t, cfg)
	mustBeFull(t, again.Record(t.Context(), decision(audit.NewID())))
	record(t, again, outcome(audit.NewID()))
	mustClose(t, again)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	third, _ := open(t, cfg)
	last := decision(audit.NewID())
	record(t, third, last)
	mustClose(t, third)
	mustClean(t, dir)
}

// Without a reserve a full disk refuses all the same, and what was half written is taken back.
func TestAFullDiskWithoutAReserve(t *testing.T) {
	disk := onSmallDisk(t, "1m")
	if disk == "" {
		return
	}
	l, dir := open(t, audit.Config{Dir: filepath.Join(disk, "audit"), Reserve: -1})
	path := ballast(t, disk)
	for _, event := range []func(string) audit.Event{decision, denied, outcome} {
		_, err := until(t, l, event)
		mustBeFull(t, err)
	}
	if b := verify(t, dir).Broken; b != nil {
		t.Errorf("on the full disk: %v", b)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	acts(t, l, 1)
	mustClose(t, l)
	mustClean(t, dir)
}
