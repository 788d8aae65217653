/* twin/exchange_delivery.h - the message itself: DATA and BDAT, and what is decided at its end.
 *
 * Why       Exchange takes sender and recipients and refuses afterwards: Send As, limits, concurrency.
 * Promise   DATA ends at CR LF . CR LF and nowhere else; bytes are kept as they came.
 * Owns      Nothing.
 * Refuses   By the replies of tables/twin_replies.def.
 * See       RFC 5321 4.1.1.4, RFC 3030 */
#pragma once
#include "twin/exchange_session.h"

/* Takes bytes of DATA; of a BDAT chunk. Returns how many. */
size_t exchange_body_feed(struct exchange_session *, struct span bytes);
size_t exchange_chunk_feed(struct exchange_session *, struct span bytes);

/* A BDAT command with its arguments. */
void exchange_bdat(struct exchange_session *, struct span arguments);
