/** What GET /bff/session says. Times are in seconds. */
export type Session = LoggedIn | Nobody

export interface LoggedIn {
  authenticated: true
  sub: string
  /** Names the session: another one, another name. */
  sid_hash: string
  claims?: Record<string, unknown>
  expires_in: number
  /** Absent where a session does not end by being idle. */
  idle_expires_in?: number
  csrf_token: string
  logout_url: string
}

export interface Nobody {
  authenticated: false
  /** Why nobody is logged in. */
  reason?: 'login_required' | 'session_expired' | 'session_revoked'
  login_url?: string
}

/** What callbacks are told. */
export interface Events {
  /** The session has ended, in whichever tab; or it is another user's now, and `refreshed` follows. */
  ended: { reason?: string }
  /** The session ends in so many seconds. What takes that back is `refreshed`. */
  expiring: { in: number }
  /** The session was refreshed, ends later than was said, or another one began in whichever tab: session() says whose. */
  refreshed: object
}

/** Asks who is logged in; with fresh: false what was said last will do. It is no activity of the user. */
export function session(options?: { fresh?: boolean }): Promise<Session>
/** Leads to the login, and back to returnTo (this page when absent). For pages: a worker leads nowhere, here and in logout. */
export function login(options?: { returnTo?: string | URL; prompt?: 'none' | 'login'; acr?: string }): void
/**
 * Ends the session here and at the provider, and leads to returnTo (/ when absent); where the provider cannot be told, by way
 * of a page that says so. Rejects where the session lives on.
 */
export function logout(options?: { returnTo?: string | URL }): Promise<void>
/**
 * window.fetch with the session and its CSRF header, at the gateway's origin only: on pages of other origins an address
 * without one means the gateway. What was to change something and is refused (403, csrf_failed) since there is another session
 * now is not sent again: that may be another user's. `refreshed` has told the page then.
 */
export function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>
/** Tells of a user who only reads. */
export function touch(): Promise<Response>
/** Calls back. Who listens follows: session() need not be called. Returns what takes the callback off. */
export function on<E extends keyof Events>(event: E, callback: (detail: Events[E]) => void): () => void
