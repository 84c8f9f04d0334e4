package telemetry

import (
	_ "embed" // for the README
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

//go:embed README.md
var readme string

// Undocumented holds README.md's list of metrics against what register registers and returns a line for
// each metric of ours that the list does not have, has with other labels, or has though nothing
// registers it. The test of an assembly calls it with all its packages' NewMetrics:
//
//	for _, line := range telemetry.Undocumented(func(r prometheus.Registerer) { audit.NewMetrics(r); … }) {
//		t.Error(line)
//	}
//
// Gathering would not do: a metric with labels shows only once it was used.
func Undocumented(register func(prometheus.Registerer)) []string {
	in := inventory{}
	registerBuildInfo(in, Config{})
	register(in)
	return differences(documented(readme), in)
}

// inventory maps a metric's name to its labels, sorted and joined. It is a Registerer that keeps no
// collector.
type inventory map[string]string

const prefix = "intercom_"

var descForm = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", .*, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// constForm is a label with a fixed value.
var constForm = regexp.MustCompile(`(\w+)="[^"]*",?`)

// Register implements prometheus.Registerer.
func (in inventory) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		// A Desc shows its labels in this form only.
		parts := descForm.FindStringSubmatch(d.String())
		if parts == nil {
			return fmt.Errorf("telemetry: cannot read %s", d)
		}
		if strings.HasPrefix(parts[1], prefix) {
			in[parts[1]] = labels(constForm.ReplaceAllString(parts[2], "$1 ") + parts[3])
		}
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (in inventory) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := in.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (in inventory) Unregister(prometheus.Collector) bool { return false }

// labels brings a list of labels into one form.
func labels(list string) string {
	names := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", `()", r) })
	slices.Sort(names)
	return strings.Join(names, ", ")
}

var rowForm = regexp.MustCompile("(?m)^\\| `(" + prefix + "[a-z0-9_]+)` \\| ([^|]*) \\|")

// documented reads the rows of the README's tables: name, labels, meaning.
func documented(text string) inventory {
	in := inventory{}
	for _, row := range rowForm.FindAllStringSubmatch(text, -1) {
		in[row[1]] = labels(row[2])
	}
	return in
}

func differences(documented, registered inventory) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(registered)) {
		got, is := documented[name]
		switch want := registered[name]; {
		case !is:
			lines = append(lines, fmt.Sprintf("README.md does not have %s (labels: %s)", name, want))
		case got != want:
			lines = append(lines, fmt.Sprintf("README.md has %s with the labels %q; it has %q", name, got, want))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, is := registered[name]; !is {
			lines = append(lines, fmt.Sprintf("README.md has %s, which nothing registers", name))
		}
	}
	return lines
}
