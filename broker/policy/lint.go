package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/strict"
)

// asks returns which types of resources each action is asked about. A rule about anything else is
// accepted, since an operator may have written it for what is to come, and warned of, since it is mostly
// a slip of the pen: a deny that never matches is a hole.
func asks() map[string][]string {
	return map[string][]string{
		ActionVend: {"credential"}, ActionExchange: {"audience", "grant"}, ActionCall: {"service"},
		ActionEvaluate: {"pdp"}, ActionExplain: {"pdp"}, ActionIntrospect: {"audience"},
		ActionReflect: {"grpc"}, ActionAdmin: {"admin"},
	}
}

// resourceTypes are all types that anything asks about, in order.
func resourceTypes() []string {
	var all []string
	for _, types := range asks() {
		all = append(all, types...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// void warns of rules that never match anything.
func void(rules []parsed) (found []Finding) {
	known, types := asks(), resourceTypes()
	for i := range rules {
		r := &rules[i].compiled
		if why, cure := neverAsked(r, known, types); why != "" && len(found) < maxProblems {
			found = append(found, r.finding(FindingVoid, r.Resource, why).withCure(cure))
		}
	}
	return found
}

func neverAsked(r *compiled, known map[string][]string, types []string) (why, cure string) {
	if r.Resource == anything {
		return "", ""
	}
	segs := strings.Split(r.Resource, "/")
	if !slices.Contains(types, segs[0]) {
		return unknownType(segs[0], types), ""
	}
	if of, ok := known[r.Action]; ok && !slices.Contains(of, segs[0]) {
		return fmt.Sprintf("%s is never asked about %s/…, only about %s/…", r.Action, segs[0], of[0]), ""
	}
	if slices.Contains(segs, ".") || slices.Contains(segs, "..") {
		return "requests with a dot segment are refused before policy is asked, so this never matches", ""
	}
	if segs[0] == "service" {
		return neverCalled(segs)
	}
	return "", ""
}

// neverCalled is neverAsked for service/NAME/METHOD/PATH: hygiene stands before policy.
func neverCalled(segs []string) (why, cure string) {
	if len(segs) < 3 {
		return "", ""
	}
	if slices.Contains(segs[1:len(segs)-1], "") {
		return "requests with an empty segment are refused before policy is asked, so this never matches", "write one slash"
	}
	if strings.Contains(segs[2], one) {
		return "", ""
	}
	method, upper := segs[2], strings.ToUpper(segs[2])
	switch near := suggestion(method, usualMethods()); {
	case method != upper:
		return "the segment after a service's name is the method, in upper case: " + upper, "write " + upper
	case hygiene.CheckMethod(method) != nil:
		return "requests with " + method + " are refused before policy is asked, so this never matches", ""
	case near != "" && !slices.Contains(knownMethods(), method):
		return method + " is no method of HTTP" + near, ""
	}
	return "", ""
}

// usualMethods are the methods that are meant, mostly.
func usualMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// knownMethods are all methods that have a meaning (the registry of RFC 9110, section 18.2). Others may have one for a
// service, so only what looks like a slip of the pen is warned of.
func knownMethods() []string {
	return append(usualMethods(), strings.Fields(`ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY
		MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH QUERY REBIND REPORT SEARCH UNBIND
		UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL`)...)
}

// unknownType says that nothing asks about resources of that type.
func unknownType(name string, types []string) string {
	if slices.Contains(types, name) {
		return ""
	}
	return fmt.Sprintf("nothing is ever asked about %s/…, only about %s%s", name, strings.Join(types, ", "), suggestion(name, types))
}

func suggestion(name string, known []string) string {
	if cure := didYouMean(name, known); cure != "" {
		return "; " + cure
	}
	return ""
}

// didYouMean is empty when no known name is near.
func didYouMean(name string, known []string) string {
	if near := strict.Suggest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
