/* wire/smtp_server_inner.h - what the files of smtp_server share; nobody else includes it.
 *
 * Why       One machine, four subjects: lines and wishes, commands, the bytes of a message, replies.
 * Promise   Each function leaves the machine with a reply, a question or a wish pending, or ready to read.
 * Owns      Nothing of its own.
 * Refuses   Nothing: its callers have checked.
 * See       wire/smtp_server.h */
#pragma once
#include "wire/smtp_server.h"

/* Where a session stands; a set of them in the verb table. */
enum smtp_server_state {
	STATE_FRESH = 1,      /* no HELO yet */
	STATE_READY = 2,      /* no message begun */
	STATE_SENDER = 4,     /* MAIL was granted */
	STATE_RECIPIENTS = 8, /* RCPT was granted at least once */
	STATE_CHUNKS = 16,    /* between two BDAT of one message */
	STATE_DATA = 32,      /* the bytes of DATA come */
	STATE_CHUNK = 64,     /* the bytes of one BDAT come */
	STATE_TRANSACTION = STATE_SENDER | STATE_RECIPIENTS,
	STATE_MESSAGE = STATE_TRANSACTION | STATE_CHUNKS | STATE_DATA | STATE_CHUNK,
	STATE_ANY = STATE_FRESH | STATE_READY | STATE_TRANSACTION | STATE_CHUNKS,
};

enum smtp_server_ask { ASK_NOTHING, ASK_TLS, ASK_LOGIN, ASK_SENDER, ASK_RECIPIENT, ASK_VERDICT };

/* Where the bytes of DATA stand: behind CR LF, inside a line, behind CR LF dot, behind CR LF dot CR. */
enum smtp_server_body { BODY_LINE_START, BODY_INSIDE, BODY_DOT, BODY_DOT_CR };

/* Whether the driver knows of a message. The bytes of a BDAT that was not allowed belong to none. */
bool smtp_server_has_message(const struct smtp_server *);

/* Forgets the message in hand and is ready for the next; `_drop` also tells the driver, if it knew of one. */
void smtp_server_transaction_end(struct smtp_server *);
void smtp_server_transaction_drop(struct smtp_server *);

/* --- smtp_server_commands.c */

/* Runs one whole command line, and notes what a transcript may show of it. FAULT_OK: a reply or question is pending. */
enum fault smtp_server_commands_run(struct smtp_server *, struct span line) MUST_CHECK;

/* Takes one whole SASL response line. */
enum fault smtp_server_commands_response(struct smtp_server *, char *line, size_t size) MUST_CHECK;

/* Ends an AUTH exchange with the answer to its question. */
void smtp_server_commands_authorized(struct smtp_server *, const struct smtp_server_answer *);

/* --- smtp_server_data.c */

/* Prepares for the bytes of DATA, or of one chunk. A fault is told when the chunk has been read. */
void smtp_server_data_begin(struct smtp_server *);
void smtp_server_data_chunk(struct smtp_server *, uint64_t size, bool is_last, enum fault);

/* Takes some of the bytes of DATA or BDAT; at least one. */
size_t smtp_server_data_take(struct smtp_server *, struct span bytes);

/* --- smtp_server_reply.c */

/* Puts a reply: its lines parted by LF, each headed by the code and, unless it is empty, the enhanced code. */
void smtp_server_reply(struct smtp_server *, int code, struct span enhanced, struct span text);

/* Puts a fault's row as the reply, and counts it: the session ends at the last error allowed. */
void smtp_server_reply_fault(struct smtp_server *, enum fault);

/* Counts a fault; true when that was the last one allowed, and the reply that says so is put. */
bool smtp_server_reply_is_last_error(struct smtp_server *, enum fault);

/* Puts what the driver answered, or else what is said where all is well. Counts nothing. */
void smtp_server_reply_answer(struct smtp_server *, const struct smtp_server_answer *, struct span enhanced,
			      struct span text);
