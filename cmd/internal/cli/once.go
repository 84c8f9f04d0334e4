package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// onceEach makes a flag that holds one value refuse a second: the last one would win without a word, and what was named
// first would seem to have been looked at.
func onceEach(c *cobra.Command) {
	for _, set := range []*pflag.FlagSet{c.PersistentFlags(), c.Flags()} {
		set.VisitAll(func(f *pflag.Flag) {
			_, several := f.Value.(pflag.SliceValue)
			several = several || strings.HasPrefix(f.Value.Type(), "stringTo") // pflag's maps, which add what is new
			_, done := f.Value.(*once)
			if !several && !done {
				f.Value = &once{Value: f.Value}
			}
		})
	}
	for _, sub := range c.Commands() {
		onceEach(sub)
	}
}

// once is a value that may be set once.
type once struct {
	pflag.Value
	set bool
}

// Set implements [pflag.Value].
func (o *once) Set(text string) error {
	if o.set {
		return errTwice
	}
	o.set = true
	return o.Value.Set(text)
}
