package main

import (
	"io"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// SARIF 2.1.0 (OASIS Standard, 27 March 2020), as much of it as code hosts and editors read.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string      `json:"id"`
		Short   sarifText   `json:"shortDescription"`
		Default sarifConfig `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level severity `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     severity        `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

const (
	sarifSchema  = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	sarifVersion = "2.1.0"
	homepage     = "https://github.com/intercom-broker/intercom"
)

func printSARIF(w io.Writer, r *report) error {
	driver := sarifDriver{Name: "intercom", Version: cli.Version(), InformationURI: homepage}
	for _, rule := range rules() {
		driver.Rules = append(driver.Rules, sarifRule{rule.id, sarifText{rule.text}, sarifConfig{rule.severity}})
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, c := range r.checked {
		for _, f := range c.findings {
			run.Results = append(run.Results, sarifOf(f, c.name))
		}
	}
	return writeJSON(w, sarifLog{Schema: sarifSchema, Version: sarifVersion, Runs: []sarifRun{run}})
}

// sarifOf places a finding about everything at what was looked at: code hosts drop what has no place.
func sarifOf(f finding, of string) sarifResult {
	if f.File == "" {
		f.File = of
	}
	text := f.Message
	if f.Cure != "" {
		text += "; " + f.Cure
	}
	where := sarifPhysical{Artifact: sarifArtifact{artifact(f.File)}}
	if f.Line > 0 {
		where.Region = &sarifRegion{f.Line, f.Column}
	}
	return sarifResult{
		RuleID: f.Rule, RuleIndex: slices.IndexFunc(rules(), func(r rule) bool { return r.id == f.Rule }),
		Level: f.Severity, Message: sarifText{text}, Locations: []sarifLocation{{where}},
	}
}

// artifact is a path as a URI reference, relative where the path is (SARIF, section 3.4.3).
func artifact(file string) string {
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return u.String()
}
