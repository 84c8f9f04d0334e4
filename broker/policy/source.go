package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/intercom-broker/intercom/policies"
	"github.com/rogpeppe/go-internal/txtar"
)

const (
	modelFile = "model.conf"

	// maxFile and maxTotal bound what is read of a directory.
	maxFile  = 16 << 20
	maxTotal = 64 << 20
)

// source is a policy as it was read: the model's text, and the rules' files in the order of their names.
type source struct {
	model string // the shipped one where the directory has none
	files []txtar.File
}

// readWhole reads fsys until it reads the same twice: between two files of one reading Kubernetes may swap
// all of them, and half of one policy with half of another is neither.
func readWhole(fsys fs.FS) (source, error) {
	src, err := readSource(fsys)
	for range 5 {
		if err != nil {
			return src, err
		}
		var again source
		again, err = readSource(fsys)
		if err == nil && again.revision() == src.revision() {
			return src, nil
		}
		src = again
	}
	return src, errors.Join(err, errors.New("it changes while it is read"))
}

// readSource reads fsys once. Names that begin with a dot are left alone: editors and Kubernetes have them.
func readSource(fsys fs.FS) (source, error) {
	src := source{model: policies.Model()}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return src, err
	}
	total := 0
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || (!strings.HasSuffix(name, ".csv") && name != modelFile) {
			continue
		}
		data, err := readFile(fsys, name)
		if err != nil {
			return src, err
		}
		if total += len(data); total > maxTotal {
			return src, &Problem{File: name, Message: fmt.Sprintf("with this file the policy is larger than %d MiB", maxTotal>>20)}
		}
		if name == modelFile {
			src.model = string(data)
		} else {
			src.files = append(src.files, txtar.File{Name: name, Data: data})
		}
	}
	if len(src.files) == 0 {
		return src, &Problem{File: "*.csv", Message: "no such file", Cure: "an empty one denies everything, if that is what you want"}
	}
	return src, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, &Problem{File: name, Message: reason(err)}
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &Problem{File: name, Message: reason(err)}
	}
	if len(data) > maxFile {
		return nil, &Problem{File: name, Message: fmt.Sprintf("larger than %d MiB", maxFile>>20), Cure: "split it"}
	}
	if data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")); len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n') // an archive ends every file so, and the revision must not depend on it
	}
	return data, nil
}

// reason is the error without the path, which the Problem names already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// revision is a hash of all that decides. Lengths go first, so that no text can pass for a file's end.
func (s source) revision() string {
	h := sha256.New()
	part := func(data []byte) {
		_, _ = fmt.Fprintf(h, "%d:", len(data))
		_, _ = h.Write(data)
	}
	part([]byte(normalModel(s.model)))
	for _, f := range s.files {
		part([]byte(f.Name))
		part(f.Data)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// archive and unarchive keep a source as text. No line that Intercom accepts can pass for a txtar marker:
// rules begin with p or g, and sections of a model with a bracket or a letter.
func (s source) archive() []byte {
	return txtar.Format(&txtar.Archive{Files: append([]txtar.File{{Name: modelFile, Data: []byte(s.model)}}, s.files...)})
}

func unarchive(data []byte) source {
	src := source{model: policies.Model()}
	for _, f := range txtar.Parse(data).Files {
		if f.Name == modelFile {
			src.model = string(f.Data)
		} else if strings.HasSuffix(f.Name, ".csv") {
			src.files = append(src.files, f)
		}
	}
	return src
}
