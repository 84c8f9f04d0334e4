package vault

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
)

// maxFolders bounds a listing: each folder of the engine is a request.
const maxFolders = 4096

// List implements credential.Store. What others keep in the engine under names that are none of ours is
// left out. A name whose latest version was deleted by other means is listed: Vault still has it.
func (s *Store) List(ctx context.Context, prefix credential.Name) ([]credential.Name, error) {
	if prefix != "" {
		if err := prefix.Check(); err != nil {
			return nil, err
		}
	}
	var names []credential.Name
	if prefix != "" {
		version, err := s.version(ctx, prefix)
		if err != nil {
			return nil, err
		}
		if version > 0 {
			names = append(names, prefix)
		}
	}
	below, err := s.walk(ctx, prefix)
	if err != nil {
		return nil, err
	}
	names = append(names, below...)
	slices.Sort(names)
	return names, nil
}

// walk lists the folder of that name and all that are below it.
func (s *Store) walk(ctx context.Context, folder credential.Name) (names []credential.Name, err error) {
	todo := []credential.Name{folder}
	for asked := 0; len(todo) > 0; asked++ {
		if asked == maxFolders {
			return nil, fault.Newf(fault.TooLarge, credential.ReasonLimit, "the listing spans more than %d folders; ask for a longer prefix", maxFolders)
		}
		folder, todo = todo[0], todo[1:]
		var answer listAnswer
		err := s.do(ctx, "list", get(s.path("metadata", folder), url.Values{"list": {"true"}}), &answer)
		if err != nil && !errors.Is(err, errNotFound) {
			return nil, err
		}
		for _, key := range answer.Data.Keys {
			child := credential.Name(key)
			if folder != "" {
				child = folder + "/" + child
			}
			if sub, ok := strings.CutSuffix(string(child), "/"); ok && credential.Name(sub).Check() == nil {
				todo = append(todo, credential.Name(sub))
			} else if child.Check() == nil {
				names = append(names, child)
			}
		}
	}
	return names, nil
}
