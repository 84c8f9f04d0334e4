// The session at the gateway, for pages and workers. It holds no token, and stores nothing.
const base = new URL('.', import.meta.url)
const at = path => new URL(path, base)
const page = () => self.document?.baseURI ?? location.href
const listeners = { ended: new Set(), expiring: new Set(), refreshed: new Set() }
// last is what /session has said, asking the question that is under way; undefined is not known. mine is what was said last
// of who is here, also where that has to be asked anew; alive says whether somebody is. leaving is where a logout leads.
let last, asking, mine, alive, leaving

// session says who is logged in: { authenticated, claims, csrf_token, … }.
export async function session({ fresh = true } = {}) {
  if (!fresh && (last || asking)) return last || asking
  asking = ask().then(now => learn(now))
  asking.catch(() => asking = undefined)
  return asking
}

async function ask() {
  const answer = await self.fetch(at('session'), { credentials: 'include' })
  if (!answer.ok) throw new Error(`the session is not known: ${answer.status}`)
  return answer.json()
}

// learn keeps what there is to know of the session, and tells when it is news. Another session may be another user's: for who
// was here before, it has ended.
function learn(now, reason = now.reason, ended = alive) {
  const was = mine, sid = now.sid_hash
  if (ended && !sid) tell('ended', { reason })
  last = mine = now
  alive = now.authenticated
  if (sid && sid !== was?.sid_hash) {
    // Else it may be a logout that has found the next session, and ends it.
    if (!ended) leaving = null
    stop?.()
    channel.postMessage({ event: 'began', detail: sid })
    if (was?.sub && was.sub !== now.sub) call('ended', { reason })
    if (was) call('refreshed', {})
  }
  follow()
  return now
}

function toward(path, returnTo) {
  const to = at(path)
  to.searchParams.set('return_to', new URL(returnTo, page()))
  return to
}

// login leads to the provider, and back to returnTo: here, where it is not given.
export function login({ returnTo = location, prompt, acr } = {}) {
  const to = toward('login', returnTo)
  for (const [name, value] of Object.entries({ prompt, acr })) if (value) to.searchParams.set(name, value)
  location.assign(to)
}

// logout ends the session here and then at the provider, and leads to returnTo. Other tabs are told. Who asks for it twice is
// led to one place.
export async function logout({ returnTo = '/' } = {}) {
  leaving ??= leave(returnTo)
  leaving.catch(() => leaving = null)
  location.assign(await leaving)
}

// leave ends whichever session there is: nobody who logs out wants to leave one. Where nobody is logged in any more, the
// gateway takes no token for good.
async function leave(returnTo) {
  const post = () => send(toward('logout', returnTo), { method: 'POST' })
  let answer = await post()
  if (answer.status === 403) {
    if (!alive) return returnTo
    answer = await post()
  }
  if (!answer.ok) throw new Error(`the logout failed: ${answer.status}`)
  const to = (await answer.json()).logout_url || returnTo
  tell('ended', { reason: 'logout' })
  return to
}

// fetch is window.fetch with the session: at the gateway's own origin, and nowhere else. That is what an address without
// an origin means on pages of others, too.
export async function fetch(input, init) {
  const here = page().startsWith(at('/')) ? page() : base.origin
  const request = new Request(input.url ? input : new URL(input, here), init)
  if (!request.url.startsWith(at('/'))) throw new TypeError(`${request.url} is not at ${base.origin}`)
  return send(request)
}

// touch tells of a user who only reads.
export const touch = () => send(at('session/touch'), { method: 'POST' })

// on calls back when the session has 'ended', is 'expiring' or was 'refreshed', in whichever tab it happens. It
// returns what takes the callback off.
export function on(event, callback) {
  if (!listeners[event]) throw new TypeError(`no event ${event}`)
  listeners[event].add(callback)
  // Not at once: the page may be about to ask.
  queueMicrotask(know)
  return () => listeners[event].delete(callback)
}

const know = (fresh = false) => session({ fresh }).catch(() => {})

// send sends once. What is refused for its token was meant for another session, of a user who may be another: the page is told
// whose there is now, and decides.
async function send(input, init) {
  const request = new Request(input, { ...init, credentials: 'include' })
  const safe = /^(GET|HEAD)$/.test(request.method)
  if (!safe) request.headers.set('X-CSRF-Token', (await session({ fresh: false })).csrf_token ?? '')
  const answer = await self.fetch(request)
  if (!safe && answer.status === 403 && await code(answer) === 'csrf_failed') await know(true)
  if (answer.status === 401 && alive !== false) doubt(answer).catch(() => {})
  return answer
}

// doubt asks whether the session has ended: a 401 may be the service's own. That it has expired only the first answer
// knows, which takes the cookie back.
async function doubt(answer) {
  const [reason, now] = await Promise.all([code(answer), ask()])
  learn(now, /^session_/.test(reason) ? reason : now.reason, true)
}

const code = answer => answer.clone().json().then(p => p?.code, () => '')

// One stream for all tabs of this origin: the one that holds the lock has it, and tells the others. Where there are
// no locks, each has its own.
const channel = new BroadcastChannel(`intercom ${base}`)
channel.onmessage = ({ data }) => heard(data.event, data.detail)
let following, away, stop

function tell(event, detail) {
  channel.postMessage({ event, detail })
  heard(event, detail)
}

function heard(event, detail) {
  // A tab has found a session.
  if (event === 'began') return detail === mine?.sid_hash || know(true)
  if (event === 'refreshed') last = asking = undefined
  if (event === 'ended') {
    if (alive === false) return
    last = mine = { authenticated: alive = false }
  }
  call(event, detail)
}

// call calls all back, whatever comes over one of them.
function call(event, detail) {
  for (const callback of listeners[event])
    try { callback(detail) } catch (e) { reportError(e) }
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
  const end = stop = () => { events.close(); done() }
  for (const name of ['expiring', 'refreshed'])
    events.addEventListener(`session.${name}`, ({ data }) => tell(name, JSON.parse(data)))
  events.addEventListener('session.ended', async ({ data }) => {
    events.close()
    // A login in another tab may have taken its place.
    learn(await ask().catch(() => ({ authenticated: false })), JSON.parse(data).reason)
    end()
  })
  events.onerror = async () => {
    await know(true)
    if (!alive) end()
    // It is closed, and does not connect again by itself.
    else if (events.readyState === 2) setTimeout(end, 1000 + 4000 * Math.random())
  }
}

addEventListener('pagehide', () => { away = true; stop?.() })
addEventListener('pageshow', ({ persisted }) => {
  away = false
  if (persisted) know(true)
})
