/* loop/dial.h - from a host name to a connected stream, by happy eyeballs.
 *
 * Why       A dead IPv6 route must not cost 30 s.
 * Promise   Tries the addresses in turn, the next one 250 ms after the last (RFC 8305 5); the first that connects wins,
 *           the others are closed. `done` is called exactly once unless cancelled, never from inside dial_start().
 * Owns      The question and the streams in flight.
 * Refuses   Nothing: after `timeout_ms` it gives the last failure. */
#pragma once
#include "loop/dns.h"
#include "loop/stream.h"

struct dial;

/* The winner is handed over, `opened` already said; set your events on it with stream_set_events(). On failure `stream` is NULL. */
typedef void dial_done(void *self, struct stream *stream, enum fault fault, struct span why);

/* Connects to `host` (a name or an address) on `port`, from `source` unless that is NULL, within `timeout_ms`. 0.0.0.0 and :: as source mean any
 * address of their family, and no other family is tried. dial_cancel() closes what is under
 * way, and `done` is not called any more. */
struct dial *dial_start(struct dns *, struct loop *, struct span host, uint16_t port, const struct address *source,
			int timeout_ms, dial_done *done, void *self);
void dial_cancel(struct dial **);
