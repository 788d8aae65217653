/* twin/gmail_smtp.h - what Gmail's SMTP does otherwise than Exchange Online's: its words, its sign-ins, its limits.
 *
 * Why       One session speaks for both (twin/exchange_session.h); what differs stands here.
 * Promise   Decisions depend on the tenant, the counters and the time given, on nothing else.
 * Owns      Nothing.
 * Refuses   The account's own password, whatever the state of its second factor: only app passwords (blanks ignored) and tokens sign in.
 * See       RFC 4616 (PLAIN), RFC 7628 (OAUTHBEARER); tables/twin_google.def, twin/google_token.h */
#pragma once
#include "twin/exchange_policy.h"

/* Google's word for a reply. */
enum twin_reply gmail_smtp_reply(enum twin_reply);

/* A name with a password; with a token. TWIN_REPLY_auth_accepted and the user, or the reply that refuses. */
enum twin_reply gmail_smtp_judge_password(struct twin_tenant *, struct span user, struct span password, struct twin_user **user_out);
enum twin_reply gmail_smtp_judge_token(struct twin_tenant *, const struct twin_keys *, struct span user, struct span token, int64_t wall_ms,
				       struct twin_user **user_out);

/* Splits "n,a=...,^Ahost=...^Aport=...^Aauth=Bearer ...^A^A"; false when it is not that. */
bool gmail_smtp_read_bearer(struct span text, struct span *user_out, struct span *token_out);

/* Whether one more message may go today: TWIN_REPLY_message_accepted, or what refuses it. */
enum twin_reply gmail_smtp_judge_message(const struct twin_tenant *, const struct exchange_counter *, int64_t wall_ms);
