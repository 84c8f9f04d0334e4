package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// inboxDir takes the entries of operator's commands while a process holds the log. A file in it is one
// event, durable before the command goes on; the process takes it into the chain with its next tick, and
// a later Open does if that process dies first. A death between taking and removing leaves an entry
// twice, under one id: twice is visible, lost would not be.
const inboxDir = "inbox"

const (
	inboxExt      = ".json"
	maxInboxFile  = 64 << 10
	maxInboxFiles = 1000 // taken in one tick; what is more waits for the next
)

// Append records what an operator's command is about to do, of KindAdmin, in the log in dir, whether or
// not a process holds it. An error means that the command must not go on.
func Append(ctx context.Context, dir string, e Event) error {
	e.Kind = KindAdmin
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l, err := open(Config{Dir: dir, Reserve: reserveIn(dir)}, 0)
	if errors.Is(err, ErrLocked) {
		return post(dir, e)
	}
	if err != nil {
		return err
	}
	return errors.Join(l.Record(ctx, e), l.Close())
}

// reserveIn returns what the log in dir is configured to hold back, which a command does not know.
func reserveIn(dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, reserveFile))
	if err != nil || info.Size() == 0 {
		return -1
	}
	return info.Size()
}

// Exists reports whether dir has a log.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, headFile))
	return err == nil
}

// post leaves e for the process that holds the log.
func post(dir string, e Event) error {
	inbox := filepath.Join(dir, inboxDir)
	if err := os.MkdirAll(inbox, 0o700); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := writeFile(filepath.Join(inbox, NewID()+inboxExt), text, 0o600); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// takeInbox takes what commands have left, in the order of their ids, which is that of time.
func (l *Log) takeInbox(ctx context.Context) error {
	inbox := filepath.Join(l.cfg.Dir, inboxDir)
	files, err := os.ReadDir(inbox)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files[:min(len(files), maxInboxFiles)] {
		if !strings.HasSuffix(f.Name(), inboxExt) {
			continue
		}
		if err := l.takeFile(ctx, filepath.Join(inbox, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// takeFile records one file's event. A file that holds none is set aside, so that it does not hold up
// the others.
func (l *Log) takeFile(ctx context.Context, file string) error {
	e, err := readPosted(file)
	if err != nil {
		l.cfg.Logger.Error("audit: a file of the inbox is set aside", slog.String("file", file), slog.Any("error", err))
		return os.Rename(file, file+".bad")
	}
	if err := l.Record(ctx, e); err != nil {
		return err
	}
	return os.Remove(file)
}

func readPosted(file string) (e Event, err error) {
	info, err := os.Lstat(file)
	if err != nil {
		return e, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxInboxFile {
		return e, fmt.Errorf("not an event: %v, %d bytes", info.Mode(), info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return e, err
	}
	err = json.Unmarshal(text, &e)
	e.Kind = KindAdmin // whatever it says: nobody posts decisions
	return e, err
}
