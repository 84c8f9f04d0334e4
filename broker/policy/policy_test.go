package policy_test

import (
	"fmt"
	"testing"

	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/policies"
)

func TestX(t *testing.T) {
	s, err := policy.LoadFS(policies.FS())
	fmt.Println(s, err)
}
