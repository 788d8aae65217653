#include "keeper/keeper.h"

#include "base/arena.h"
#include "base/panic.h"
#include "base/rand.h"
#include "base/remedy.h"
#include "base/secret.h"
#include "base/trail.h"
#include "keeper/alarm.h"
#include "keeper/child.h"
#include "keeper/collect.h"
#include "keeper/confine.h"
#include "keeper/outfit.h"
#include "loop/link.h"
#include "loop/role.h"
#include "loop/stream.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { CHILDREN_MAX = 64 + 3, WAIT_FIRST_MS = 50, WAIT_LONGEST_MS = 10000, CALM_MS = 30000, MAC_KEY_BYTES = 32 };

struct keeper;

struct child {
	struct keeper *keeper;
	enum role role;
	unsigned index;
	pid_t pid; /* 0 while it does not run */
	struct link *link;
	struct timer restart;
	int64_t started_at_ms, wait_ms;
	bool is_ready, is_drained;
};

struct keeper {
	struct loop *loop;
	struct trail trail;
	const struct keeper_options *options;
	struct outfit *outfit;
	struct collect *collect;
	struct secret *mac_key;
	size_t child_count;
	struct child children[CHILDREN_MAX];
	struct timer deadline;
	bool is_stopping, was_ready;
	int exit_code;
};

static void child_begin(struct child *);

/* --- what a role is given */

static void give_files(struct child *c)
{
	const struct outfit *o = c->keeper->outfit;

	for (size_t i = 0; i < o->file_count; i++)
		if (o->files[i].roles & c->role)
			link_send(c->link, &MESSAGE_WITH(file, dup(o->files[i].fd), .purpose = span_of(o->files[i].purpose),
							 .name = o->files[i].name));
}

static void give_listeners(struct child *c)
{
	const struct outfit *o = c->keeper->outfit;

	for (size_t i = 0; i < o->socket_count; i++) {
		struct address bound;
		struct buf text;

		if (o->sockets[i].role != c->role)
			continue;
		bound = listener_address(o->sockets[i].fd);
		buf_init(&text, 256);
		address_print(&text, &bound, true);
		link_send(c->link, &MESSAGE_WITH(listener, dup(o->sockets[i].fd), .name = o->sockets[i].name, .address = buf_span(&text)));
		buf_free(&text);
	}
}

static void give_all(struct child *c, bool reload)
{
	struct keeper *k = c->keeper;

	link_send(c->link, &MESSAGE_OF(configure, .boot = buf_span(&k->outfit->text), .index = c->index));
	give_files(c);
	give_listeners(c);
	if (!reload && (c->role == ROLE_VAULT || c->role == ROLE_POST))
		link_send(c->link, &MESSAGE_OF(mac_key, .key = secret_borrow(k->mac_key)));
	link_send(c->link, &MESSAGE_OF(go, .reload = reload));
}

/* Two ends of a new socket, one to each. */
static void introduce(struct child *a, struct child *b)
{
	int ends[2];

	if (stream_pair(ends))
		fatal("cannot link two roles: %s", strerror(errno));
	link_send(a->link, &MESSAGE_WITH(peer, ends[0], .role = (uint8_t)b->role, .index = b->index));
	link_send(b->link, &MESSAGE_WITH(peer, ends[1], .role = (uint8_t)a->role, .index = a->index));
}

static void introduce_all(struct child *c)
{
	struct keeper *k = c->keeper;

	for (size_t i = 0; i < k->child_count; i++) {
		struct child *other = &k->children[i];

		if (other != c && other->link && role_are_peers(c->role, other->role))
			introduce(c, other);
	}
}

/* --- what a role says */

static void say_listening(struct keeper *k)
{
	for (size_t i = 0; i < k->outfit->socket_count; i++) {
		const struct outfit_socket *s = &k->outfit->sockets[i];
		struct address bound = listener_address(s->fd);
		struct buf text;

		buf_init(&text, 256);
		address_print(&text, &bound, true);
		printf("listening %.*s %.*s\n", SPAN_ARGS(s->name), SPAN_ARGS(buf_span(&text)));
		TRAIL(&k->trail, EVENT_LISTENING, TRAIL_TEXT("listener", s->name), TRAIL_TEXT("address", buf_span(&text)));
		buf_free(&text);
	}
	printf("ready\n");
	fflush(stdout);
	sd_notify(0, "READY=1");
}

static void stop(struct keeper *k, int exit_code)
{
	k->exit_code = exit_code;
	loop_stop(k->loop);
}

static void check_ready(struct keeper *k)
{
	for (size_t i = 0; i < k->child_count; i++)
		if (!k->children[i].is_ready)
			return;
	if (!k->was_ready) {
		say_listening(k);
		collect_start(k->collect, k->outfit->config);
	}
	k->was_ready = true;
}

static void say_why_not(struct child *c, enum fault fault, struct span why)
{
	const struct fault_row *row = fault_row(fault);
	struct buf remedy;

	buf_init(&remedy, REMEDY_BYTES_MAX);
	remedy_put(&remedy, fault, LANGUAGE_EN, NULL);
	TRAIL(&c->keeper->trail, EVENT_ROLE_CANNOT_SERVE, TRAIL_TEXT("name", span_of(role_name(c->role))), TRAIL_TEXT("fault", span_of(row->name)),
	      TRAIL_TEXT("why", why), TRAIL_TEXT("remedy", buf_span(&remedy)));
	if (!c->keeper->was_ready)
		fprintf(stderr, "postern: %s: %s: %.*s. %.*s\n", role_name(c->role), row->says[LANGUAGE_EN], SPAN_ARGS(why), SPAN_ARGS(buf_span(&remedy)));
	buf_free(&remedy);
}

/* A role that cannot serve at the first start ends the daemon, with the reason; later it is tried again. */
static void on_ready(struct child *c, const struct message_ready *m)
{
	struct keeper *k = c->keeper;

	c->is_ready = m->fault == FAULT_OK;
	if (c->is_ready) {
		check_ready(k);
		return;
	}
	say_why_not(c, (enum fault)(m->fault % FAULT_COUNT), m->why);
	if (!k->was_ready)
		stop(k, 1);
}

static void check_drained(struct keeper *k)
{
	for (size_t i = 0; i < k->child_count; i++)
		if (k->children[i].link && !k->children[i].is_drained)
			return;
	stop(k, 0);
}

/* Gates first: what they have taken must still reach post, and post the vault. */
static void drain_next(struct keeper *k)
{
	bool gates_open = false;

	for (size_t i = 0; i < k->child_count; i++)
		gates_open = gates_open || (k->children[i].role == ROLE_GATE && k->children[i].link && !k->children[i].is_drained);
	if (gates_open)
		return;
	for (size_t i = 0; i < k->child_count; i++) {
		struct child *c = &k->children[i];

		if (c->role != ROLE_GATE && c->link && !c->is_drained && c->is_ready) {
			c->is_ready = false;
			link_send(c->link, &MESSAGE_OF(drain, .wait_ms = (uint32_t)k->outfit->config->drain_ms));
		}
	}
	check_drained(k);
}

static void on_received(void *self, struct link *link, const struct message *m)
{
	struct child *c = self;

	(void)link;
	if (m->type == MESSAGE_ready)
		on_ready(c, &m->ready);
	if (m->type == MESSAGE_drained && c->keeper->is_stopping) {
		c->is_drained = true;
		drain_next(c->keeper);
	}
}

static void on_link_ended(void *self, struct link *link)
{
	struct child *c = self;

	(void)link;
	link_close(&c->link);
	if (c->pid)
		kill(c->pid, SIGKILL); /* it cannot be reached any more; SIGCHLD brings it back */
	if (c->keeper->is_stopping)
		drain_next(c->keeper);
}

static const struct link_events child_events = { .received = on_received, .ended = on_link_ended };

/* --- life and death */

static void child_begin(struct child *c)
{
	struct keeper *k = c->keeper;
	struct child_user user;
	struct child_ends ends;

	if (!child_user(k->outfit->config, c->role, &user))
		fatal("no user %.*s-%s on this machine, and no uid_base: add them, or start as an ordinary user", SPAN_ARGS(k->outfit->config->user),
		      role_name(c->role));
	ends = child_start(c->role, c->index, user);
	if (ends.pid < 0)
		fatal("cannot start a role: %s", strerror(errno));
	c->pid = ends.pid;
	alarm_start_take(ends.alarm_fd, c->role, c->index);
	c->started_at_ms = loop_now_ms(k->loop);
	c->is_ready = c->is_drained = false;
	c->link = link_new_take(k->loop, ends.link_fd, ROLE_KEEPER, c->role, c->index, &child_events, c);
	TRAIL(&k->trail, EVENT_ROLE_STARTED, TRAIL_TEXT("name", span_of(role_name(c->role))), TRAIL_NUMBER("index", c->index),
	      TRAIL_NUMBER("pid", c->pid));
	give_all(c, false);
}

static void child_restart(void *self)
{
	struct child *c = self;

	child_begin(c);
	introduce_all(c);
}

static struct child *child_of(struct keeper *k, pid_t pid)
{
	for (size_t i = 0; i < k->child_count; i++)
		if (k->children[i].pid == pid)
			return &k->children[i];
	return NULL;
}

static void child_ended(struct child *c, int status)
{
	struct keeper *k = c->keeper;
	bool was_calm = loop_now_ms(k->loop) - c->started_at_ms > CALM_MS;

	c->pid = 0;
	link_close(&c->link);
	if (k->is_stopping) {
		drain_next(k);
		return;
	}
	c->wait_ms = was_calm || !c->wait_ms ? WAIT_FIRST_MS : c->wait_ms * 2 > WAIT_LONGEST_MS ? WAIT_LONGEST_MS : c->wait_ms * 2;
	TRAIL(&k->trail, EVENT_ROLE_DIED, TRAIL_TEXT("name", span_of(role_name(c->role))), TRAIL_NUMBER("index", c->index),
	      TRAIL_NUMBER("status", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
	      TRAIL_NUMBER("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0), TRAIL_NUMBER("wait_ms", c->wait_ms));
	if (!k->was_ready && WIFEXITED(status))
		stop(k, 1);
	else
		timer_after(&c->restart, c->wait_ms);
}

static void on_sigchld(void *self)
{
	struct keeper *k = self;
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = child_of(k, pid);

		if (c)
			child_ended(c, status);
		else if (k->collect)
			collect_ended(k->collect, pid, status);
	}
}

static void on_deadline(void *self)
{
	stop(self, 0);
}

static void on_sigterm(void *self)
{
	struct keeper *k = self;

	if (k->is_stopping)
		return;
	k->is_stopping = true;
	collect_free(&k->collect);
	sd_notify(0, "STOPPING=1");
	TRAIL(&k->trail, EVENT_ROLE_DRAINING);
	for (size_t i = 0; i < k->child_count; i++) {
		timer_stop(&k->children[i].restart);
		if (k->children[i].role == ROLE_GATE && k->children[i].link)
			link_send(k->children[i].link, &MESSAGE_OF(drain, .wait_ms = (uint32_t)k->outfit->config->drain_ms));
	}
	timer_after(&k->deadline, k->outfit->config->drain_ms + 2000);
	drain_next(k);
}

static void on_sighup(void *self)
{
	struct keeper *k = self;
	struct outfit *fresh;
	char why[512];

	if (k->is_stopping)
		return;
	sd_notify(0, "RELOADING=1");
	if (outfit_open(&fresh, k->options->config_path, k->options->port_base, k->outfit, why, sizeof why) != FAULT_OK) {
		TRAIL(&k->trail, EVENT_RELOAD_REFUSED, TRAIL_TEXT("fault", SPAN("MALFORMED")), TRAIL_TEXT("why", span_of(why)));
		sd_notify(0, "READY=1");
		return;
	}
	outfit_free(&k->outfit);
	k->outfit = fresh;
	for (size_t i = 0; i < k->child_count; i++)
		if (k->children[i].link)
			give_all(&k->children[i], true);
	collect_start(k->collect, k->outfit->config);
	TRAIL(&k->trail, EVENT_RELOADED);
	sd_notify(0, "READY=1");
}

/* --- start */

static void child_add(struct keeper *k, enum role role, unsigned index)
{
	struct child *c = &k->children[k->child_count++];

	*c = (struct child){ .keeper = k, .role = role, .index = index };
	timer_init(&c->restart, k->loop, child_restart, c);
}

static void start_children(struct keeper *k)
{
	child_add(k, ROLE_VAULT, 0);
	child_add(k, ROLE_POST, 0);
	child_add(k, ROLE_DESK, 0);
	for (unsigned i = 0; i < (unsigned)k->outfit->config->gates; i++)
		child_add(k, ROLE_GATE, i);
	for (size_t i = 0; i < k->child_count; i++)
		child_begin(&k->children[i]);
	for (size_t i = 0; i < k->child_count; i++)
		for (size_t j = i + 1; j < k->child_count; j++)
			if (role_are_peers(k->children[i].role, k->children[j].role))
				introduce(&k->children[i], &k->children[j]);
}

/* The roles with a place get it, in their own name. */
static void make_places(struct keeper *k)
{
	const struct config *c = k->outfit->config;

	for (unsigned role = ROLE_KEEPER; role & ROLE_ANY; role <<= 1) {
		const char *place = confine_place(role);
		struct child_user user;
		char *path;

		if (!place)
			continue;
		path = arena_text(c->arena, arena_print(c->arena, "%.*s/%s", SPAN_ARGS(c->data), place));
		if (mkdir(path, 0700) && errno != EEXIST)
			fatal("cannot make %s: %s", path, strerror(errno));
		if (child_user(c, role, &user) && user.uid != (uid_t)-1 && chown(path, user.uid, user.gid))
			fatal("cannot give %s to its role: %s", path, strerror(errno));
	}
}

static void end_children(struct keeper *k)
{
	for (size_t i = 0; i < k->child_count; i++) {
		link_close(&k->children[i].link);
		if (k->children[i].pid > 0)
			kill(k->children[i].pid, SIGKILL);
	}
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}

/* As many descriptors as the system allows: a gate holds one for each session. The roles inherit it. */
static void raise_descriptors(void)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int keeper_main(const struct keeper_options *options)
{
	struct keeper *k = calloc(1, sizeof *k);
	char why[512];
	int exit_code;

	if (!k)
		panic("out of memory");
	k->options = options;
	trail_init(&k->trail, "keeper", SPAN(""));
	if (outfit_open(&k->outfit, options->config_path, options->port_base, NULL, why, sizeof why) != FAULT_OK)
		fatal("%s", why);
	trail_configure_named(k->outfit->config->log_level);
	make_places(k);
	k->mac_key = secret_random(MAC_KEY_BYTES);
	k->loop = loop_new();
	timer_init(&k->deadline, k->loop, on_deadline, k);
	loop_on_signal(k->loop, SIGCHLD, on_sigchld, k);
	loop_on_signal(k->loop, SIGTERM, on_sigterm, k);
	loop_on_signal(k->loop, SIGINT, on_sigterm, k);
	loop_on_signal(k->loop, SIGHUP, on_sighup, k);
	TRAIL(&k->trail, EVENT_KEEPER_STARTED, TRAIL_TEXT("version", SPAN(POSTERN_VERSION)), TRAIL_NUMBER("pid", getpid()),
	      TRAIL_TEXT("data", k->outfit->config->data), TRAIL_TEXT("config", span_of(options->config_path)));
	raise_descriptors();
	k->collect = collect_new(k->loop, k->outfit->config);
	confine_keeper();
	start_children(k);
	loop_run(k->loop);
	collect_free(&k->collect);
	end_children(k);
	TRAIL(&k->trail, EVENT_KEEPER_STOPPED);
	exit_code = k->exit_code;
	timer_stop(&k->deadline);
	for (size_t i = 0; i < k->child_count; i++)
		timer_stop(&k->children[i].restart);
	outfit_free(&k->outfit);
	secret_free(&k->mac_key);
	loop_free(&k->loop);
	free(k);
	return exit_code;
}
