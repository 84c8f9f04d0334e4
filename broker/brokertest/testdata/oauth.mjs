// openid-client as it comes, with undici to show the certificate and jose to verify what it got. It does what
// oauth.py does, and prints the same.
//
//     oauth.mjs TASK.json

import { strict as assert } from 'node:assert'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'

import * as jose from 'jose'
import * as client from 'openid-client'
import * as undici from 'undici'

const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const accessToken = 'urn:ietf:params:oauth:token-type:access_token'
const jwtSPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'

const task = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const agents = []

// fetchAs returns a fetch that shows the client's certificate, if it has one.
function fetchAs({ cert, key }) {
  const dispatcher = new undici.Agent({
    connect: { ca: readFileSync(task.ca), ...(cert && { cert: readFileSync(cert), key: readFileSync(key) }) },
  })
  agents.push(dispatcher)
  return (url, options) => undici.fetch(url, { ...options, dispatcher })
}

// discover returns the configuration of a client; by is how it says who it is.
function discover(who, by, algorithm) {
  return client.discovery(new URL(task.issuer), who.id, undefined, by, { algorithm, [client.customFetch]: fetchAs(who) })
}

// byJWTSVID is the library's way to add a client authentication of one's own.
function byJWTSVID(_server, _client, body) {
  body.set('client_assertion_type', jwtSPIFFE)
  body.set('client_assertion', task.orders.jwt_svid)
}

async function run() {
  const orders = await discover(task.orders, client.TlsClientAuth(), 'oauth2')
  const inventory = await discover(task.inventory, client.TlsClientAuth(), 'oidc')
  const bare = await discover({ id: task.orders.id }, byJWTSVID, 'oauth2')
  const keys = jose.createRemoteJWKSet(new URL(orders.serverMetadata().jwks_uri), { [jose.customFetch]: fetchAs({}) })
  const verified = async (answer, audience) => {
    const rules = { issuer: task.issuer, audience, typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'client_id', 'jti'] }
    return (await jose.jwtVerify(answer.access_token, keys, rules)).payload
  }

  const held = await client.clientCredentialsGrant(orders, { audience: 'inventory', scope: 'read' })
  const own = await verified(held, 'inventory')
  const der = new X509Certificate(readFileSync(task.orders.cert)).raw // RFC 8705, section 3.1
  assert.equal(own.cnf['x5t#S256'], createHash('sha256').update(der).digest('base64url'))
  const subject = { subject_token: held.access_token, subject_token_type: accessToken }
  const traded = await verified(await client.genericGrantRequest(inventory, exchange, { audience: 'ledger', ...subject }), 'ledger')
  const asserted = await verified(await client.clientCredentialsGrant(bare, { audience: 'ledger' }), 'ledger')
  const refused = await client.genericGrantRequest(inventory, exchange, { audience: 'nowhere', ...subject }).then(() => '', e => e.error)
  const active = [(await client.tokenIntrospection(inventory, held.access_token)).active]
  await client.tokenRevocation(orders, held.access_token)
  active.push((await client.tokenIntrospection(inventory, held.access_token)).active)
  return { client_credentials: own, exchange: traded, assertion: asserted, refused, active }
}

console.log(JSON.stringify(await run()))
await Promise.all(agents.map(a => a.close()))
