/** What GET /bff/session says. Times are in seconds. */
export interface Session {
  authenticated: boolean
  /** Why nobody is logged in. */
  reason?: 'login_required' | 'session_expired' | 'session_revoked'
  login_url?: string
  sub?: string
  sid_hash?: string
  claims?: Record<string, unknown>
  expires_in?: number
  idle_expires_in?: number
  csrf_token?: string
  logout_url?: string
}

/** Asks who is logged in; with fresh: false what was said last will do. It is no activity of the user. */
export function session(options?: { fresh?: boolean }): Promise<Session>
/** Leads to the login, and back to returnTo (this page when absent). */
export function login(options?: { returnTo?: string; prompt?: 'none' | 'login'; acr?: string }): void
/** Ends the session here and at the provider, and leads to returnTo (/ when absent). Rejects where the session lives on. */
export function logout(options?: { returnTo?: string }): Promise<void>
/**
 * window.fetch with the session and its CSRF header, at the gateway's origin only: on pages of other origins an address
 * without one means the gateway. What is refused for an old token is sent once more, but for a ReadableStream.
 */
export function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>
/** Tells of a user who only reads. */
export function touch(): Promise<Response>
/** The session has ended, in whichever tab. Who listens follows: session() need not be called. Returns what takes the callback off. */
export function on(event: 'ended', callback: (detail: { reason?: string }) => void): () => void
/** The session ends in so many seconds. */
export function on(event: 'expiring', callback: (detail: { in: number }) => void): () => void
/** The session was refreshed, or began in another tab. */
export function on(event: 'refreshed', callback: (detail?: object) => void): () => void
