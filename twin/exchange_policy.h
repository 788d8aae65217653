/* twin/exchange_policy.h - what Exchange Online decides: who may sign in, who may send, and how much.
 *
 * Why       The order of the checks is the behaviour: SMTP AUTH before anything else, then the ways a password fails, then the token.
 * Promise   Decisions depend on the tenant, the limits and the time given, on nothing else.
 * Owns      The counters of each mailbox.
 * Refuses   By naming the reply.
 * See       facts in docs/decisions; tables/twin_replies.def */
#pragma once
#include "twin/twin_fault.h"
#include "twin/twin_token.h"

enum { EXCHANGE_RATE_MAX = 1000, EXCHANGE_DAY_MINUTES = 1440 };

/* What a mailbox has sent: the times of its last messages, and its recipients by the minute. */
struct exchange_counter {
	int64_t message_at_ms[EXCHANGE_RATE_MAX]; /* a ring */
	uint64_t messages;
	uint64_t most_in_minute; /* of messages that came, in any 60 seconds */
	uint64_t over_minute, over_day, over_sessions; /* messages that came beyond a limit */
	struct {
		int64_t minute;
		uint64_t recipients, messages;
	} minutes[EXCHANGE_DAY_MINUTES + 1];
};

/* AUTH LOGIN: TWIN_REPLY_auth_accepted and the user, or the reply that refuses. */
enum twin_reply exchange_judge_password(struct twin_tenant *, struct span user, struct span password, struct twin_user **user_out);

/* XOAUTH2: the same, and whether the token is of an application, which may sign in as anyone; whether it may open the mailbox shows with the mail. */
enum twin_reply exchange_judge_token(struct twin_tenant *, const struct twin_keys *, struct span user, struct span token, int64_t wall_ms,
				     struct twin_user **user_out, bool *is_application_out);

/* Splits "user=...^Aauth=Bearer ...^A^A"; false when it is not that. */
bool exchange_read_xoauth2(struct span text, struct span *user_out, struct span *token_out);

/* When one more message may go in the sliding 60 seconds: a time that is not later than `now_ms` means now. */
int64_t exchange_rate_at(const struct exchange_counter *, int64_t limit, int64_t now_ms);

/* Recipients in the last 24 hours. */
uint64_t exchange_recipients_of_day(const struct exchange_counter *, int64_t now_ms);

/* Messages in the last 24 hours. */
uint64_t exchange_messages_of_day(const struct exchange_counter *, int64_t now_ms);

/* Counts a message that goes at `at_ms`, with its recipients. */
void exchange_count(struct exchange_counter *, int64_t at_ms, uint64_t recipients);

/* The next word of an address header that holds an at sign. What stands in quotes is skipped. */
bool exchange_next_address(struct span *rest, struct span *address_out);

/* The first address in the From header that the user may not send as, appended; false when there is none such. */
bool exchange_foreign_from(const struct twin_user *, struct span mail, struct buf *address_out);
