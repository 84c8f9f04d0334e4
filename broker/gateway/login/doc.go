// Package login logs browsers in at the OpenID provider.
//
//	GET /login      a navigation: a transaction begins, and the browser goes to the provider
//	  … the user logs in, or was logged in already …
//	GET /callback   the transaction ends, whatever the answer is; a session begins under a new id
//
// # What binds the two
//
// A transaction is kept here under a digest of its state, which only the provider and the browser know, and sealed
// with a key that follows from the state: whoever reads the store can do nothing with it. It names the browser that it
// was made for, by the digest of a cookie: an answer that comes with another browser's cookie is refused (RFC 9700,
// sections 2.1.1 and 4.5.3), so nobody can be logged in as somebody else by a link. In its own browser it is taken out
// once, also by an answer that is refused (section 4.2.4); in another it stays, so that who has got hold of an answer,
// which is of no use without that cookie, spends nobody's login either. One cookie serves all tabs of a browser, as long as
// one of them has got it before the next begins: tabs that are restored at once get one each. Each tab has a transaction of
// its own, eight for a cookie at most. What a login is for ([purpose]) is kept longer, bound in the same way, so that a tab
// that was overtaken is led to where it was to go.
//
// # What it takes the place of
//
// A login ends the session that the browser has. From a provider on another site it comes back without the Strict cookie that
// names it, so a page of ours asks for the answer once more before it is looked at, and nothing is spent by the first time.
//
// # When the provider is away
//
// Nobody is sent to where nobody is: a navigation gets a page of ours, 503 with Retry-After, and one that asks for
// nothing to be shown (prompt=none) is led back as it came. [provider.Provider.Answers] knows, mostly without asking.
//
// # A second try
//
// Who logs out in one tab may have others whose pages ask for a login in that moment. Such a login goes by a session of the
// provider's that is just ending, and its code is refused, or a logout token has come before it. It is begun once more, by
// itself, the same and only once; what comes of that is final, and the page that says so starts again by a click.
//
// # Where it leads
//
// [ReturnTo] decides when a login begins, and what it decided stands in the transaction, not in an address.
package login
