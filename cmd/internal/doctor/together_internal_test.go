package doctor

import (
	"testing"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/service"
)

// TestServicesUnread: of service files that cannot be read nobody knows what they lack.
func TestServicesUnread(t *testing.T) {
	dir := t.TempDir() + "/away"
	b := newBrokerExam(Options{Broker: &broker.Config{Services: dir}}, nil)
	g := &gatewayExam{services: []*service.Service{{Name: "crm", Mode: service.ModeInject}}}
	var list []Row
	g.sameServices(b)(t.Context(), rows{list: &list})
	if len(list) != 1 || list[0].Status != Skip {
		t.Errorf("%+v", list)
	}
}
