// The session at the gateway, for pages. It holds no token, and stores nothing.
const base = new URL('.', import.meta.url)
const at = path => new URL(path, base)
const listeners = { ended: new Set(), expiring: new Set(), refreshed: new Set() }
let last // the state of the session, as /session says it

// session says who is logged in: { authenticated, claims, csrf_token, … }.
export async function session({ fresh = true } = {}) {
  return last && !fresh ? last : learn(await ask())
}

async function ask() {
  const answer = await window.fetch(at('session'), { credentials: 'include', cache: 'no-store' })
  if (!answer.ok) throw new Error(`the session cannot be asked for: ${answer.status}`)
  return answer.json()
}

// learn keeps what there is to know of the session, and tells when it is news.
function learn(now, reason = now.reason) {
  const began = now.authenticated && !last?.authenticated
  if (last?.authenticated && !now.authenticated) tell('ended', { reason })
  last = now
  if (began) channel.postMessage({ event: 'began' })
  follow()
  return now
}

// login leads to the provider, and back to returnTo: here, where it is not given.
export function login({ returnTo = location.href, prompt, acr } = {}) {
  const to = at('login')
  const own = new URL(returnTo, location.href)
  to.searchParams.set('return_to', own.origin === to.origin ? own.pathname + own.search + own.hash : own.href)
  if (prompt) to.searchParams.set('prompt', prompt)
  if (acr) to.searchParams.set('acr', acr)
  location.assign(to)
}

// logout ends the session here and then at the provider. Other tabs are told.
export async function logout({ returnTo = '/' } = {}) {
  const answer = await send(at('logout'), { method: 'POST' })
  if (!answer.ok && answer.status !== 401) throw new Error(`the logout failed: ${answer.status}`)
  const { logout_url: to } = answer.ok ? await answer.json() : {}
  tell('ended', { reason: 'logout' })
  location.assign(to || returnTo)
}

// fetch is window.fetch with the session: at the gateway's own origin, and nowhere else.
export async function fetch(input, init) {
  const request = new Request(input instanceof Request ? input : new URL(input, location.href), init)
  if (new URL(request.url).origin !== base.origin) throw new TypeError(`${request.url} is not at ${base.origin}`)
  const again = request.body ? null : request.clone()
  let answer = await send(request)
  if (answer.status === 403 && again && (await code(answer)) === 'csrf_failed') { // another tab has logged in anew
    await session()
    answer = await send(again)
  }
  if (answer.status === 401) {
    const reason = await code(answer)
    if (reason !== 'login_level_required') tell('ended', { reason }) // that session is good for other things
  }
  return answer
}

// touch tells of a user who only reads.
export const touch = () => send(at('session/touch'), { method: 'POST' })

// on calls back when the session has 'ended', is 'expiring' or was 'refreshed', in whichever tab it happens. It
// returns what takes the callback off.
export function on(event, callback) {
  if (!listeners[event]) throw new TypeError(`no such event: ${event}`)
  listeners[event].add(callback)
  follow()
  return () => listeners[event].delete(callback)
}

async function send(input, init) {
  const request = new Request(input, { ...init, credentials: 'include' })
  if (!['GET', 'HEAD'].includes(request.method)) {
    const fresh = last?.authenticated && !last.csrf_token
    request.headers.set('X-CSRF-Token', (await session({ fresh })).csrf_token ?? '')
  }
  return window.fetch(request)
}

const code = answer => answer.clone().json().then(p => p.code, () => '')

// One stream for all tabs of this origin: the one that holds the lock has it, and tells the others. Where there are
// no locks, each has its own.
const channel = new BroadcastChannel(`intercom ${base}`)
channel.onmessage = ({ data }) => heard(data.event, data.detail)
let following = false, away = false

function tell(event, detail) {
  channel.postMessage({ event, detail })
  heard(event, detail)
}

function heard(event, detail) {
  if (event === 'began') { // a login in another tab
    if (last?.authenticated) return
    event = 'refreshed'
  }
  if (event === 'refreshed' && last?.authenticated) last = { ...last, csrf_token: undefined } // it may be another session's
  if (event === 'ended') {
    if (last && !last.authenticated) return // it is known
    last = { authenticated: false }
  }
  for (const callback of listeners[event] ?? []) callback(detail)
}

async function follow() {
  if (following || !last?.authenticated) return
  following = true
  const lead = () => new Promise(stream)
  while (last?.authenticated && !away) await (navigator.locks ? navigator.locks.request(channel.name, lead) : lead())
  following = false
}

function stream(done) {
  if (!last?.authenticated || away) return done()
  const events = new EventSource(at('events'), { withCredentials: true })
  const end = () => { events.close(); done() }
  for (const name of ['expiring', 'refreshed']) {
    events.addEventListener(`session.${name}`, ({ data }) => tell(name, JSON.parse(data)))
  }
  events.addEventListener('session.ended', async ({ data }) => {
    events.close()
    const now = await ask().catch(() => ({ authenticated: false }))
    learn(now, JSON.parse(data).reason)
    if (now.authenticated) tell('refreshed', {}) // a login in another tab has taken its place
    end()
  })
  events.onerror = async () => {
    const state = await session().catch(() => undefined)
    if (state && !state.authenticated) end()
    else if (events.readyState === EventSource.CLOSED) setTimeout(end, 1000 + 4000 * Math.random())
  }
  addEventListener('pagehide', end, { once: true })
}

addEventListener('pagehide', () => { away = true })
addEventListener('pageshow', ({ persisted }) => {
  away = false
  if (persisted) session().catch(() => {})
})
