/* wire/smtp_client_inner.h - what the parts of the SMTP client share: the shape of a core, the session, the message.
 *
 * Why       Each part fits on a few screens; only they include this.
 * Promise   A phase is entered by smtp_client_enter() alone, so that its deadline is always armed.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "wire/smtp_client.h"

/* In the order of a session. What comes before IDLE fails the session, what comes between IDLE and RESET a message. */
enum smtp_client_phase {
	PHASE_HANDSHAKE,  /* question: START_TLS */
	PHASE_GREETING,
	PHASE_HELLO,      /* EHLO, and where it is unknown: */
	PHASE_PLAIN_HELLO,
	PHASE_ASKED_TLS,
	PHASE_ASKED_AUTH,
	PHASE_SECRET,     /* question: CREDENTIAL */
	PHASE_RESPONSE,
	PHASE_IDLE,
	PHASE_ENVELOPE,   /* MAIL, RCPT and DATA, as many at once as the peer takes */
	PHASE_CONTENT,    /* question: BODY */
	PHASE_FINAL,
	PHASE_NOTHING,    /* DATA was on its way when the last recipient was refused: a lone dot ends it */
	PHASE_RESET,
	PHASE_QUITTING,
	PHASE_GONE,
	PHASE_COUNT,
};

enum smtp_client_question { QUESTION_NONE, QUESTION_DUE, QUESTION_ASKED };

/* Extensions, as bits of `offers`. */
enum {
	OFFERS_STARTTLS = 1,
	OFFERS_PIPELINING = 2,
	OFFERS_CHUNKING = 4,
	OFFERS_SIZE = 8,
	OFFERS_8BITMIME = 16,
	OFFERS_BINARYMIME = 32,
	OFFERS_SMTPUTF8 = 64,
	OFFERS_DSN = 128,
	OFFERS_AUTH = 256,
};

/* Changes the phase and arms its deadline; and the same with the question of that phase. */
void smtp_client_enter(struct smtp_client *, enum smtp_client_phase);
void smtp_client_ask(struct smtp_client *, enum smtp_client_phase);

/* Appends to the window; what does not fit is a bug. */
void smtp_client_print(struct smtp_client *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The reply in hand as an outcome: the fault that is recognised in it, else the one its code stands for in this phase. */
void smtp_client_read_outcome(struct smtp_client *, struct outcome *);

/* The connection is of no use any more. `heard`: the peer said so, so that nothing is unknown. */
void smtp_client_lose(struct smtp_client *, const struct outcome *why, bool heard);

/* The same, where what the peer said makes no sense. */
void smtp_client_lose_to_nonsense(struct smtp_client *);

/* Begins a session that knows nothing of the peer yet, by EHLO or HELO. */
void smtp_client_say_hello(struct smtp_client *, enum smtp_client_phase);

/* Looks at a line of EHLO's reply. */
void smtp_client_read_hello_line(struct smtp_client *);

/* Bytes came where TLS was to begin. */
void smtp_client_injected(struct smtp_client *);

/* A reply in the phases outside a message. */
void smtp_client_greeting_reply(struct smtp_client *);
void smtp_client_hello_reply(struct smtp_client *);
void smtp_client_tls_reply(struct smtp_client *);
void smtp_client_auth_reply(struct smtp_client *);
void smtp_client_response_reply(struct smtp_client *);
void smtp_client_idle_reply(struct smtp_client *);
void smtp_client_reset_reply(struct smtp_client *);

/* Signed in, nothing to do. */
void smtp_client_rest(struct smtp_client *);

/* A reply in PHASE_ENVELOPE to PHASE_NOTHING. */
void smtp_client_envelope_reply(struct smtp_client *);
void smtp_client_content_reply(struct smtp_client *);
void smtp_client_final_reply(struct smtp_client *);
void smtp_client_nothing_reply(struct smtp_client *);

/* Puts what can be sent now into the window, or asks for more of the body. */
void smtp_client_pump(struct smtp_client *);

/* The connection was lost with a message in hand. */
void smtp_client_drop_message(struct smtp_client *, const struct outcome *why, bool heard);
