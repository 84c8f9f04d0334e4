// The session at the gateway, for pages. It holds no token, and stores nothing.
const base = new URL('.', import.meta.url)
const at = path => new URL(path, base)
const listeners = { ended: new Set(), expiring: new Set(), refreshed: new Set() }
// last is what /session has said, asking the question that is under way; undefined is not known. alive says whether
// somebody is logged in: undefined is not asked yet, and null that another tab says so.
let last, asking, alive

// session says who is logged in: { authenticated, claims, csrf_token, … }.
export async function session({ fresh = true } = {}) {
  if (!fresh && (last || asking)) return last || asking
  asking = ask().then(learn)
  asking.catch(() => { asking = undefined })
  return asking
}

async function ask() {
  const answer = await window.fetch(at('session'), { credentials: 'include' })
  if (!answer.ok) throw new Error(`the session is not known: ${answer.status}`)
  return answer.json()
}

// learn keeps what there is to know of the session, and tells when it is news.
function learn(now, reason = now.reason, was = alive) {
  const began = now.authenticated && !alive && alive !== null
  if (was && !now.authenticated) tell('ended', { reason })
  last = now
  alive = now.authenticated
  if (began) channel.postMessage({ event: 'began' })
  follow()
  return now
}

function toward(path, returnTo) {
  const to = at(path)
  to.searchParams.set('return_to', new URL(returnTo, location))
  return to
}

// login leads to the provider, and back to returnTo: here, where it is not given.
export function login({ returnTo = location, prompt, acr } = {}) {
  const to = toward('login', returnTo)
  if (prompt) to.searchParams.set('prompt', prompt)
  if (acr) to.searchParams.set('acr', acr)
  location.assign(to)
}

// logout ends the session here and then at the provider, and leads to returnTo. Other tabs are told. Where nobody is
// logged in any more, the gateway takes no token for good.
export async function logout({ returnTo = '/' } = {}) {
  const answer = await send(toward('logout', returnTo), { method: 'POST' })
  if (!answer.ok && (answer.status !== 403 || alive)) throw new Error(`the logout failed: ${answer.status}`)
  const { logout_url: to } = answer.ok ? await answer.json() : {}
  tell('ended', { reason: 'logout' })
  location.assign(to || returnTo)
}

// fetch is window.fetch with the session: at the gateway's own origin, and nowhere else. That is what an address without
// an origin means on pages of others, too.
export async function fetch(input, init) {
  const here = base.origin === location.origin ? location : base.origin
  const request = new Request(input.url ? input : new URL(input, here), init)
  if (new URL(request.url).origin !== base.origin) throw new TypeError(`${request.url} is not at ${base.origin}`)
  return send(request, {}, init?.body instanceof ReadableStream)
}

// touch tells of a user who only reads.
export const touch = () => send(at('session/touch'), { method: 'POST' })

// on calls back when the session has 'ended', is 'expiring' or was 'refreshed', in whichever tab it happens. It
// returns what takes the callback off.
export function on(event, callback) {
  listeners[event].add(callback)
  // Not at once: the page may be about to ask.
  queueMicrotask(know)
  return () => listeners[event].delete(callback)
}

const know = fresh => session({ fresh: !!fresh }).catch(() => {})

// send sends what was refused for its token once more: there is another session then, of a login of which nobody has told
// us. A stream goes once, since it would have to be kept whole.
async function send(input, init, once) {
  const request = new Request(input, { ...init, credentials: 'include' })
  const safe = ['GET', 'HEAD'].includes(request.method)
  const again = !safe && !once && request.clone()
  let answer = await (safe ? window.fetch(request) : carry(request))
  if (!safe && answer.status === 403 && await code(answer) === 'csrf_failed') {
    last = asking = undefined
    if (again) answer = await carry(again)
  }
  if (answer.status === 401 && alive !== false) doubt(answer).catch(() => {})
  return answer
}

async function carry(request) {
  request.headers.set('X-CSRF-Token', (await session({ fresh: false })).csrf_token ?? '')
  return window.fetch(request)
}

// doubt asks whether the session has ended: a 401 may be the service's own. That it has expired only the first answer
// knows, which takes the cookie back.
async function doubt(answer) {
  const [reason, now] = await Promise.all([code(answer), ask()])
  learn(now, /^session_/.test(reason) ? reason : now.reason, alive !== false)
}

const code = answer => answer.clone().json().then(p => p?.code, () => '')

// One stream for all tabs of this origin: the one that holds the lock has it, and tells the others. Where there are
// no locks, each has its own.
const channel = new BroadcastChannel(`intercom ${base}`)
channel.onmessage = ({ data }) => heard(data.event, data.detail)
let following, away

function tell(event, detail) {
  channel.postMessage({ event, detail })
  heard(event, detail)
}

function heard(event, detail) {
  // A login in another tab; where one is known, the stream tells.
  if (event === 'began') {
    if (alive) return
    event = 'refreshed'
  }
  // It may be another session.
  if (event === 'refreshed') {
    last = asking = undefined
    alive ||= null
  }
  if (event === 'ended') {
    if (alive === false) return
    last = { authenticated: alive = false }
  }
  for (const callback of listeners[event]) callback(detail)
  if (alive === null) know()
}

async function follow() {
  if (following) return
  following = true
  const lead = () => new Promise(stream)
  while (alive && !away) await (navigator.locks?.request(channel.name, lead) ?? lead())
  following = false
}

function stream(done) {
  if (!alive || away) return done()
  const events = new EventSource(at('events'), { withCredentials: true })
  const end = () => { events.close(); done() }
  for (const name of ['expiring', 'refreshed'])
    events.addEventListener(`session.${name}`, ({ data }) => tell(name, JSON.parse(data)))
  events.addEventListener('session.ended', async ({ data }) => {
    events.close()
    const now = await ask().catch(() => ({ authenticated: false }))
    learn(now, JSON.parse(data).reason)
    // A login in another tab has taken its place.
    if (now.authenticated) tell('refreshed', {})
    end()
  })
  events.onerror = async () => {
    await know(true)
    if (!alive) end()
    else if (events.readyState === events.CLOSED) setTimeout(end, 1000 + 4000 * Math.random())
  }
  addEventListener('pagehide', end, { once: true })
}

addEventListener('pagehide', () => { away = true })
addEventListener('pageshow', ({ persisted }) => {
  away = false
  if (persisted) know(true)
})
