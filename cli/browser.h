/* cli/browser.h - as much of a browser as the demo needs: cookies, redirects, and filling in a form.
 *
 * Why       The demo signs in through the real pages, as a person would, without a person.
 * Promise   Follows redirects on http://localhost only; keeps cookies as a browser does.
 * Owns      Its cookies and the page it is on.
 * Refuses   Pages over 1 MB, anything that is not on this machine. */
#pragma once
#include "base/buf.h"

struct browser;

/* A browser without cookies and without a page, which asks for pages in this language ("fr"). browser_free() forgets its cookies. */
struct browser *browser_new(const char *accept_language);
void browser_free(struct browser **);

/* Opens a page. False, with browser_error(), when that failed; the status of a page that came is browser_status(). */
bool browser_open(struct browser *, const char *url);

/* A field to fill in; hidden ones keep the page's values. */
struct browser_field {
	const char *name, *value;
};

/* Sends form number `form` (from 0) of the page with these fields. A field that the form lacks is an error. */
bool browser_submit(struct browser *, unsigned form, const struct browser_field *fields, size_t count);

/* Where it is, and what it shows. */
const char *browser_address(const struct browser *);
struct span browser_page(const struct browser *);
long browser_status(const struct browser *);
const char *browser_error(const struct browser *);

/* The visible words of the page between `from` and `to` (tags removed, blanks folded), for a line of the story. */
void browser_words(const struct browser *, struct buf *out, size_t max);

/* Whether the page has a form with a field of this name. */
bool browser_has_field(const struct browser *, const char *name);
