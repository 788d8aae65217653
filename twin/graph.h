/* twin/graph.h - the mail of Microsoft Graph: sendMail, drafts, attachments, upload sessions, Sent Items.
 *
 * Why       A gateway that may not use SMTP AUTH sends by Graph; both sides of that conversation have to be had on a laptop.
 * Promise   Paths, permissions, limits and refusals are those of v1.0. What is sent stands on the same shelf as what came by SMTP. Like the
 *           twin's SMTP it shares no code with wire/.
 * Owns      Drafts and upload sessions, at most GRAPH_MESSAGES_MAX and GRAPH_UPLOADS_MAX, the oldest going first; the counters of requests.
 * Refuses   By the rows of tables/twin_graph.def.
 * See       graph:api-reference/v1.0 user-sendmail, user-post-messages, attachment-createuploadsession; tables/twin_switches.def */
#pragma once
#include "twin/entra.h"
#include "twin/exchange_session.h"

struct graph;

enum { GRAPH_MESSAGES_MAX = 256, GRAPH_UPLOADS_MAX = 64 };

/* Both stay the caller's. */
struct graph *graph_new(struct entra *, struct exchange_world *);
void graph_free(struct graph **);

/* Forgets drafts, uploads and counters. */
void graph_clear(struct graph *);

/* The stage that a request belongs to; TWIN_STAGE_NONE when it is none of Graph's. */
enum twin_stage graph_stage(struct span method, struct span path);

/* The mailbox that a request of one of those stages means, or NULL when its token or path does not tell. */
struct twin_user *graph_mailbox(struct graph *, const struct twin_request *);

/* Answers. */
void graph_handle(struct graph *, const struct twin_request *, struct twin_response *);

/* Answers with a row; `name` stands for its braces. */
void graph_refuse(struct twin_response *, enum graph_error, struct span name, int64_t wall_ms);
