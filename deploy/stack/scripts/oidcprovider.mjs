// npm's oidc-provider with what the gateway needs of it, and two users whose passwords are not looked at.
// given.json beside it says the rest: see OIDCProviderOptions.
import { generateKeyPairSync } from 'node:crypto'
import dns from 'node:dns'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import Provider from 'oidc-provider'

const given = JSON.parse(readFileSync('given.json'))
const issuer = `https://${given.host}:${given.port}`
const users = new Map([['alice', ['staff']], ['bob', []]])

// The names of tests are this machine.
const lookup = dns.lookup
dns.lookup = (host, options, done) => lookup(host.endsWith(given.domain) ? '127.0.0.1' : host, options, done)

const settings = {
  // A refresh token for each login. As the package comes there is one for offline_access alone, which takes a question each time.
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  // Each is good once: a second use ends the login.
  rotateRefreshToken: true,
  // The claims of a scope stand in the ID token. As the package comes they are at the userinfo endpoint alone.
  conformIdTokenClaims: false,
  // Addresses of private networks are called too. As the package comes they are not, and neither a logout nor a client's keys
  // get through.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  // The client is the operator's own, so nobody is asked whether it may.
  loadExistingGrant: async (ctx) => {
    const { client, session, provider, result } = ctx.oidc
    const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId)
    const kept = known && await provider.Grant.find(known) // gone with a refresh token that was taken back
    const grant = kept ?? new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
    grant.addOIDCScope('openid profile')
    await grant.save()
    return grant
  },
}
const features = {
  // The provider tells of logouts.
  backchannelLogout: { enabled: true },
  // A refresh token ends with the session here.
  revocation: { enabled: true },
  // The token of the login is a JWT for one audience, whose services may take it. As the package comes it is opaque.
  resourceIndicators: {
    enabled: true,
    defaultResource: () => 'https://own.example',
    getResourceServerInfo: () => ({ scope: '', audience: 'own', accessTokenFormat: 'jwt', accessTokenTTL: given.life }),
    useGrantedResource: () => true,
  },
}
for (const name of given.defaults ?? []) {
  if (!(name in settings) && !(name in features)) throw new Error(`no setting ${name}`)
  delete settings[name]
  delete features[name]
}

const provider = new Provider(issuer, {
  ...settings,
  clients: given.clients ?? [],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [{ ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'ES256' }] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'] },
  findAccount: (ctx, sub) => {
    const groups = users.get(sub)
    return groups && { accountId: sub, claims: () => ({ sub, name: sub, preferred_username: sub, groups }) }
  },
  cookies: { keys: ['of this test'] },
  ttl: { AccessToken: given.life, IdToken: 300, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600 },
  features: { ...features, devInteractions: { enabled: true } },
})
for (const event of ['server_error', 'backchannel.error', 'grant.error', 'authorization.error', 'end_session.error', 'jwks.error']) {
  provider.on(event, (ctx, err) => console.log(event, err?.message, err?.error_description ?? '', err?.error_detail ?? '', err?.cause ?? ''))
}

const answer = provider.callback()
createServer({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem') }, (req, res) => {
  const gone = req.method === 'DELETE' && /^\/users\/(\w+)$/.exec(req.url)
  if (!gone) return answer(req, res)
  users.delete(gone[1])
  res.end()
}).listen(given.port, '127.0.0.1')
