package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// machine finds what the file alone cannot decide: flags, and files of the machine that it is for.
func machine(file string, cfg broker.Config) (all []finding) {
	if cfg.Listen.Admin != "" {
		if err := telemetry.CheckLoopback(cfg.Listen.Admin); err != nil {
			f := at(ruleAdminAnywhere, file, "listen.admin", err)
			f.Cure = "the broker wants --unsafe-admin-anywhere for it"
			all = append(all, f)
		}
	}
	if web := cfg.Listen.Web; web.Cert != "" && web.Key != "" {
		if _, err := tls.LoadX509KeyPair(web.Cert, web.Key); err != nil {
			all = append(all, at(ruleWebCertificate, file, "listen.web", err))
		}
	}
	return all
}

// at makes a finding of err at the place of a key in a file.
func at(id, file, key string, err error) finding {
	f := found(id, file, key+": "+err.Error())
	data, readErr := os.ReadFile(file)
	if readErr != nil {
		return f
	}
	located := strict.Locate(file, data, errors.New(key+": "))
	if list, ok := errors.AsType[strict.Errors](located); ok && len(list) == 1 {
		f.Line, f.Column = list[0].Line, list[0].Column
	}
	return f
}

// named makes a finding about an entry of a list of names in a sidecar's file.
func named(file, key, name, want string, known []string) finding {
	f := at(ruleSidecarUnknown, file, key, fmt.Errorf("%q is %s", name, want))
	if near := strict.Suggest(name, known); near != "" {
		f.Cure = fmt.Sprintf("did you mean %q?", near)
	}
	f.Message = strings.TrimSpace(f.Message)
	return f
}
