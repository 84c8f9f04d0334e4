package fault

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the ErrorInfo domain of everything that Intercom says.
const Domain = "intercom"

// The keys of ErrorInfo.metadata.
const (
	MetaKind     = "kind"
	MetaOAuth    = "oauth_error"
	MetaDecision = "decision_id"
)

var grpcCodes = [kinds]codes.Code{
	Internal: codes.Internal, InvalidRequest: codes.InvalidArgument, InvalidScope: codes.InvalidArgument,
	InvalidTarget: codes.PermissionDenied, InvalidGrant: codes.FailedPrecondition,
	Unauthenticated: codes.Unauthenticated, UnauthorizedClient: codes.PermissionDenied,
	Unsupported: codes.Unimplemented, Denied: codes.PermissionDenied, NotFound: codes.NotFound,
	TooLarge: codes.ResourceExhausted, Overloaded: codes.ResourceExhausted, Unavailable: codes.Unavailable,
	Timeout: codes.DeadlineExceeded,
}

// Status translates err to a google.rpc.Status with ErrorInfo, and RetryInfo where trying again may
// help. A nil err is OK.
func Status(err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	if errors.Is(err, context.Canceled) {
		return status.New(codes.Canceled, "the caller went away")
	}
	e := From(err)
	_, oauth := e.OAuth()
	info := &errdetails.ErrorInfo{Reason: e.Code(), Domain: Domain, Metadata: map[string]string{
		MetaKind: e.Kind.String(), MetaOAuth: oauth,
	}}
	if e.Decision != "" {
		info.Metadata[MetaDecision] = e.Decision
	}
	details := []protoadapt.MessageV1{info}
	if wait := e.retryAfter(); wait > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	}
	st := status.New(grpcCodes[e.Kind], e.Message)
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st
}

// FromStatus is the client's half of Status: it reads an error that a gRPC call returned back into the
// Error that the server meant. An error without our ErrorInfo is classified by its code alone.
func FromStatus(err error) *Error {
	st, ok := status.FromError(err)
	if !ok || st.Code() == codes.OK {
		return From(err)
	}
	e := New(kindOfCode(st.Code()), "", st.Message()).Because(err)
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			e.readInfo(d)
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	return e
}

func (e *Error) readInfo(info *errdetails.ErrorInfo) {
	if info.GetDomain() != Domain {
		return
	}
	for k, name := range kindNames {
		if name == info.GetMetadata()[MetaKind] {
			e.Kind = Kind(k)
		}
	}
	if info.GetReason() != e.Kind.String() {
		e.Reason = info.GetReason()
	}
	e.Decision = info.GetMetadata()[MetaDecision]
}

func kindOfCode(c codes.Code) Kind {
	switch c {
	case codes.PermissionDenied:
		return Denied
	case codes.ResourceExhausted:
		return Overloaded
	}
	for k, code := range grpcCodes {
		if code == c {
			return Kind(k)
		}
	}
	return Internal
}
