// Package stack is the one place that knows how a real component is found, built, started, waited for
// and stopped. Tests import it, and so does the command in the folder up; of ours it imports broker/freeport alone.
//
//	func TestMain(m *testing.M) { stack.Main(m) } // one instance for all tests of the package
//
//	func TestSomething(t *testing.T) {
//		v := stack.Vault(t)                         // v.Addr, v.Token, v.CACert
//		s := stack.SPIRE(t, "a.test", "b.test")     // federated with each other
//		a := s.Domain("a.test")
//		a.Entry(t, "spiffe://a.test/web", stack.EntryOptions{TTL: time.Minute})
//		// a.AgentSocket is the Workload API, ready about a second later
//	}
//
// # Where a component comes from
//
// [Binary] looks in this order:
//
//  1. PATH, if what stands there is exactly the version that the tests were written against: it is asked
//     (`vault version`, `spire-server --version`). Another version is left alone, because a test whose
//     outcome hangs on what somebody once installed tells nothing.
//  2. The cache, os.UserCacheDir()/intercom/stack/NAME-KEY. KEY is the hash of the wrapper module's
//     go.mod, go.sum and sources, of the Go version and of the flags, so that a folder that is there is
//     the right one; it gets its name in one rename when all of its binaries are built.
//  3. A build, if INTERCOM_STACK is "build" or "install", or CI is "true": the wrapper module (a go.mod
//     that pins the component and all that it needs) is written out and built. Builds take up to 3 GB of
//     memory, so one lock in the cache admits one at a time across all processes; the others wait. What
//     goes on is told on standard error every 15 seconds.
//
// What is no Go module comes from its own registry instead, by the client of that registry, and is pinned by
// hash all the same: Keycloak from Maven, the packages of [Python] and Envoy from PyPI, those of [Node] from npm. Its
// KEY is the hash of the files that pin it, and for Python of the interpreter.
//
// When all three fail, a test is skipped with a line that names the component and the cure. With CI=true
// it fails: a run that tests nothing must not look like one that passed. With -short nothing is looked
// for, started or built: the test is skipped at once.
//
// INTERCOM_STACK=install, and CI=true, also allow apt-get to install the Debian packages that a build
// needs (a C compiler, for SPIRE's SQLite) or that run a component (Java, for Keycloak), and the components
// that Debian itself packages, such as Redis: those have a file and no build.
//
// # Vault
//
// [Vault] is a server for all tests of the process; [StartVault] one of the caller's own, which may be
// sealed, restarted, killed and paused. Both are initialised and unsealed, speak https with a CA of their
// own, and ask for client certificates, as auth/cert wants. Nothing is mounted: [VaultServer.Mount],
// [VaultServer.Auth] and [VaultServer.Policy] make what a test needs under random names and remove it
// afterwards. That is what lets INTERCOM_TEST_VAULT_ADDR, INTERCOM_TEST_VAULT_TOKEN and
// INTERCOM_TEST_VAULT_CACERT (a file) put any Vault or OpenBao in the place of [Vault]'s; such a server is
// never sealed or stopped.
//
// # SPIRE
//
// Each trust domain gets a server and an agent with the unix workload attestor; every domain is federated
// with every other over https_spiffe. Both sides look for changes each second, so that a new entry is an
// SVID about a second later. The agent finds workloads by uid and by the path of their binary; two
// workloads under one uid need two paths (a hard link will do), since go-spiffe takes the first of the
// identities that it is given. An X.509-SVID with a TTL of one minute lives for 70 s (its notBefore is
// 10 s back) and is renewed every 25 s.
//
// # Redis
//
// Debian's redis-server in four shapes: [Redis] is shared by the tests of a process, [StartRedis] is one of
// the caller's own, plain or guarded (TLS, and a user without @dangerous), [StartRedisSentinel] a primary
// with replicas and three sentinels, [StartRedisCluster] a cluster of three. Valkey speaks the same.
//
// # Keycloak
//
// [Keycloak] is a server for all tests of the process that give the same realm file; [StartKeycloak] one of the
// caller's own. The cache holds it with its options fixed and with the database of a first start, which
// each server copies: it is ready in about ten seconds instead of a minute, and knows the realm master and
// what it imports. It speaks https with a CA of its own. What the file of a realm cannot say,
// [KeycloakServer.Do] tells the admin API; client scopes are of that kind, since a file that has some gets
// none of those which Keycloak brings.
//
// # A second OpenID provider
//
// [StartOIDCProvider] runs npm's oidc-provider, in the time that Node takes to start. scripts/oidcprovider.mjs is its
// configuration: what stands there is what the gateway needs of it, each with what comes of its default.
//
// # Chromium
//
// [Chromium] is a browser without a window for all tests of the process, [StartChromium] one of the caller's own. It
// trusts one authority, finds the names below [TestDomain] and [ForeignDomain] on this machine and no others, and is
// driven over its debugger by a library of the test's choice.
//
// # Clients of other languages
//
// [Python] and [Node] run a script with a few OAuth and JOSE libraries, without anything of our environment:
// REQUESTS_CA_BUNDLE, for one, would win over the CA that a script names. grpcurl is a [Binary].
//
// # Proxies
//
// [StartNginx] and [StartEnvoy] run one in front of what a test has, with a configuration that the test gives. It is
// made for ports that are free, so that a sample which others copy can be run as it is but for names and ports.
//
// # Processes
//
// Everything binds 127.0.0.1, on ports that were free a moment before. A process leads a process group
// of its own, so that Ctrl-C reaches only the test, logs into a file whose end is shown when a test
// fails, and is stopped by its id. The kernel kills it when the test binary dies, however that happens
// (PR_SET_PDEATHSIG; on systems other than Linux a killed test binary leaves its processes). Folders
// have short names in os.TempDir(), since a Unix socket's path has 107 bytes; what a killed test binary
// leaves of them is swept by the next one.
package stack
