package oidcprovider_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest/providersuite"
)

func TestSuite(t *testing.T) { providersuite.Run(t, driver(nil)) }
