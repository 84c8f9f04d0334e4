// Package broker is the credential broker: identities in, credentials and tokens out.
//
// A request walks through it like this; each stop is one package and one question.
//
//	svid        who are we today?              Workload API, bundles, rotation
//	mtls        is the peer's SVID good, on this connection?
//	authn       who is calling, and how proven?  → identity.Principal
//	pep         may they? ask policy, write the audit event, then go on
//	  policy      Casbin decides, and can explain
//	  audit       the decision is recorded before the act
//	vend        hand out a credential              ┐
//	exchange    trade an identity for a token      ├ the three acts
//	egress      put a credential into a request    ┘
//	  credential  what a store must do; sealed/ is embedded, vault/ is Vault and OpenBao
//	  token       what we say; keyring signs it
//	fault       if not: in which words do we refuse?
//
// This package is the assembly. [LoadConfig] reads the one file, [New] opens the parts and binds the
// doors, [Broker.Run] serves:
//
//	mesh     gRPC over mTLS: exchange, vend, pdp; health, and reflection where configured
//	egress   HTTP over mTLS
//	web      HTTPS for stock clients: metadata and keys
//	admin    health, metrics and profiles, on loopback
package broker
