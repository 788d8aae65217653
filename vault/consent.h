/* vault/consent.h - the operations that desk's consent pages are made of.
 *
 * Why       A link from `postern mailbox link` leads its owner through the provider's sign-in; desk only shows pages, all that is secret or has a
 *           memory is here. These are operations of message `call`, with JSON arguments and results, that no command has.
 * Promise   consent.page changes nothing. consent.press binds a link to one browser; only a sign-in that succeeded uses the link up; until then,
 *           and for 15 minutes, it may be tried again from that browser. A wrong account stores nothing.
 * Owns      Links, the browser each is bound to, `state`, nonce and PKCE verifier, of which only digests and sealed values are stored.
 * Refuses   LINK_UNKNOWN, LINK_LATE, LINK_SPENT, LINK_FOREIGN, and on the way back what the provider said.
 * See       vault/consent.c
 *
 * Desk adds `public_url` to the arguments of every operation: where people reach it (see the decision about listeners whose port the system chose).
 *
 * operation        arguments                                     result
 * consent.page     link                                          address, name, provider, language, expires_at
 *                  A GET of {public_url}/link/LINK. The result is filled in for failures too, as far as the link is known.
 * consent.press    link, browser (the cookie; may be missing)    url, browser, address, language
 *                  The button's POST: redirect (303) to `url`, and set the cookie to `browser` (HttpOnly, SameSite=Lax, Secure with https,
 *                  at most 15 minutes), for the paths of consent only.
 * consent.finish   state, code | error, error_description,       address, account, language, link_usable
 *                  browser
 *                  The provider's redirect to {public_url}/oauth/callback. Green when the fault is OK; otherwise the result has what is known,
 *                  `account` names who came, `why` of the answer names both, and `link_usable` says whether another try makes sense.
 *
 * status           (none)                                        organisations, providers, mailboxes {ready unlinked held disabled}, clients,
 *                                                                key, key_rotation, tokens_in_flight, attention [{address state fault says remedy}]
 * metrics          (none)                                        not JSON: Prometheus text, as of the other roles */
#pragma once
