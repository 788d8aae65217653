/* twin/exchange_parts.h - what the files of an SMTP session say to one another; for them alone.
 *
 * Why       A session is commands, sign-in and delivery: three files over one struct.
 * Promise   A reply goes out behind whatever is held, in order.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "twin/exchange_session.h"

/* Whether Gmail is played. */
static inline bool exchange_is_gmail(const struct exchange_session *s)
{
	return s->door == EXCHANGE_GMAIL;
}

/* Queue a reply; a 421 also ends the session. */
void exchange_say(struct exchange_session *, enum twin_reply);
void exchange_say_text(struct exchange_session *, struct span text);

/* The same, counted as a mistake of the client's: beyond ten the session ends. */
void exchange_error(struct exchange_session *, enum twin_reply);

/* What follows once the replies queued so far are out. */
void exchange_next_is(struct exchange_session *, enum exchange_next);

/* The text of a reply in the manners of the session. */
struct span exchange_text(const struct exchange_session *, enum twin_reply);

/* The largest message that the session takes. */
size_t exchange_limit_bytes(const struct exchange_session *);

/* Holds the replies queued from now on for so long. */
void exchange_hold(struct exchange_session *, int64_t ms);

/* Does what is scripted for the stage; true when that was the answer, so that nothing else is to be done. */
bool exchange_stage(struct exchange_session *, enum twin_stage);

/* The same, where the connection is to be cut after the work: that is only told. */
bool exchange_scripted(struct exchange_session *, enum twin_stage, bool *cut_after_out);

/* Remembers why AUTH was refused, for 530 5.7.57. */
void exchange_keep_reason(struct exchange_session *, const char *text);

/* A command line; a line of a sign-in under way. */
void exchange_command(struct exchange_session *, struct span line);
void exchange_auth_line(struct exchange_session *, struct span line);

/* AUTH with its arguments. */
void exchange_auth(struct exchange_session *, struct span arguments);

/* At the MX host: what is said to a sender, and to a recipient. */
enum twin_reply exchange_mx_sender(const struct exchange_session *);
enum twin_reply exchange_mx_recipient(const struct exchange_session *, struct span recipient);

/* The connector that a session comes through, or NULL. */
const struct twin_connector *exchange_connector(const struct exchange_session *);

/* Forgets the message under way. */
void exchange_transaction_end(struct exchange_session *);
