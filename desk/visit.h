/* desk/visit.h - one request, from what it means to its answer; and the object desk, which the files here share.
 *
 * Why       A page or an operation outlives the call that brought it, since another role is asked first.
 * Promise   Every visit is answered exactly once, by one of the visit_* functions that end it, and counted.
 * Owns      The visit itself. The exchange is the HTTP server's.
 * Refuses   Nothing.
 * See       desk/desk.h for the role as a whole */
#pragma once
#include "base/trail.h"
#include "desk/errand.h"
#include "desk/page.h"
#include "desk/roster.h"
#include "desk/route.h"
#include "desk/site.h"
#include "loop/role.h"

/* One socket served. */
struct door {
	struct desk *desk;
	enum route_realm realm;
	struct span name; /* of the listener; lives in the configuration or is a literal */
	struct address address;
	int fd;                     /* until it is served */
	struct http_server *server; /* NULL before */
	struct tls *tls;
	struct door *next;
};

struct desk {
	struct loop *loop;
	struct trail trail;
	const struct config *config;
	struct errands *errands;
	struct roster *roster;
	struct site *site;
	struct door *doors;
	size_t visits; /* not answered yet */
	bool is_draining, said_drained;
	struct timer later;
	void (*ready)(void *host, enum fault, struct span why);
	void (*drained)(void *host);
	void *host;
};

struct visit {
	struct desk *desk;
	struct http_exchange *exchange;
	enum route_realm realm;
	enum language language;
	struct site_visit from;
	struct route route;
	struct buf actor; /* of the control socket: the person's name */
};

/* --- what a handler may do: each of these ends the visit */

/* A page; as page_answer(). */
void visit_page(struct visit *, struct page *, int status, const struct span (*headers)[2], size_t header_count);

/* A body that is ready. */
void visit_answer(struct visit *, int status, struct span content_type, struct span body);

/* To another address, with a cookie where `cookie` is not NULL. */
void visit_redirect(struct visit *, int status, struct span url, const struct span *cookie);

/* A JSON document. */
void visit_json(struct visit *, int status, const json_t *document);

/* What failed, as JSON or as a red page, by the realm; `why` may be empty. */
void visit_fault(struct visit *, enum fault, struct span why);
void visit_fault_json(struct visit *, enum fault, struct span why);

/* --- and what helps it */

/* Asks the vault or post (the first of its kind) in the name of the visitor; `done` gets the visit, or `self`. */
void visit_ask(struct visit *, enum role, struct span operation, const json_t *arguments, errand_done *done);
void visit_ask_for(struct visit *, enum role, struct span operation, const json_t *arguments, errand_done *done, void *self);

/* The remote address as text; valid until the next call. */
struct span visit_remote(const struct visit *);

/* A fault as the JSON that every failure of the control socket is. */
void visit_put_fault(struct buf *out, enum fault, enum language, struct span why);

/* --- the handlers, one for each row of tables/routes.def, and one for all operations */
typedef void visit_handler(struct visit *);
visit_handler visit_front, visit_style, visit_icon, visit_link_page, visit_link_press, visit_callback, visit_health, visit_metrics, visit_status,
	visit_backup_begin, visit_backup_spool, visit_backup_vault,
	visit_operation;
