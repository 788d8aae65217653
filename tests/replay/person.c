#include "tests/replay/person.h"

#include "base/clock.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/http_client.h"
#include "twin/authenticator.h"

#include <stdio.h>

enum { PAGE_BYTES = 256 * 1024, FORM_BYTES = 64 * 1024, WAIT_MS = 60000, PAGES_MAX = 8 };

/* A browser window. */
struct window {
	struct loop *loop;
	struct dns *dns;
	struct http_client *client;
	const char *url;
	bool is_loaded;
	int status;
	struct buf page;
};

static void on_page(void *self, const struct http_answer *answer)
{
	struct window *w = self;

	w->is_loaded = true;
	w->status = answer->status;
	buf_clear(&w->page);
	buf_put(&w->page, answer->body);
}

static bool is_loaded(void *self)
{
	return ((struct window *)self)->is_loaded;
}

static bool post(struct window *w, struct span path, struct span form)
{
	const struct http_header type = { SPAN("Content-Type"), SPAN("application/x-www-form-urlencoded") };
	char url[1024];

	snprintf(url, sizeof url, "%s%.*s", w->url, SPAN_ARGS(path));
	w->is_loaded = false;
	http_fetch(w->client,
		   &(struct http_request){ .method = SPAN("POST"), .url = span_of(url), .headers = &type, .header_count = 1, .body = form,
					   .timeout_ms = WAIT_MS, .answer_bytes_max = PAGE_BYTES }, on_page, w);
	world_run_until(world_ms() + WAIT_MS + 1000, is_loaded, w);
	return w->is_loaded && w->status == 200;
}

/* What stands between `before` and the next quote on the page. */
static struct span quoted(const struct window *w, struct span before)
{
	struct span page = buf_span(&w->page);
	size_t at = span_find(page, before);

	if (at == page.size)
		return SPAN("");
	page = span_slice(page, at + before.size, page.size);
	return span_slice(page, 0, span_find_byte(page, '"'));
}

static bool asks(const struct window *w, struct span what)
{
	return span_find(buf_span(&w->page), what) < w->page.size;
}

static void put_field(struct buf *form, const char *name, struct span value)
{
	buf_print(form, "%s%s=", form->size ? "&" : "", name);
	text_percent(form, value);
}

/* Fills in what the page asks for; false when it asks for nothing. */
static bool fill_in(const struct window *w, struct buf *form, const struct twin_user *user)
{
	char digits[7];

	buf_clear(form);
	put_field(form, "flow", quoted(w, SPAN("name=\"flow\" value=\"")));
	if (asks(w, SPAN("name=\"passwd\""))) {
		put_field(form, "login", span_of(user->address));
		put_field(form, "passwd", span_of(user->password));
	} else if (asks(w, SPAN("name=\"otc\"")) && authenticator_show(span_of(user->authenticator), clock_wall_ms(), digits)) {
		put_field(form, "otc", span_of(digits));
	} else if (asks(w, SPAN("name=\"ucaccept\" value=\"Yes\""))) {
		put_field(form, "ucaccept", SPAN("Yes"));
	} else {
		return false;
	}
	return true;
}

bool person_approves(const char *url, struct span user_code, const struct twin_user *user)
{
	struct window w = { .loop = world_loop("person"), .url = url };
	struct buf form;
	bool good, consented = false;

	buf_init(&w.page, PAGE_BYTES);
	buf_init(&form, FORM_BYTES);
	w.dns = dns_new(w.loop, SPAN(""), SPAN(""));
	w.client = http_client_new(w.loop, w.dns, SPAN(""));
	put_field(&form, "user_code", user_code);
	good = post(&w, SPAN("/devicelogin"), buf_span(&form));
	for (int i = 0; i < PAGES_MAX && good && fill_in(&w, &form, user); i++) {
		consented = asks(&w, SPAN("name=\"ucaccept\" value=\"Yes\""));
		good = post(&w, quoted(&w, SPAN("action=\"")), buf_span(&form));
	}
	http_client_free(&w.client);
	dns_free(&w.dns);
	buf_free(&form);
	buf_free(&w.page);
	loop_free(&w.loop);
	return good && consented;
}
