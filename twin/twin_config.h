/* twin/twin_config.h - a simulated tenant from one small file.
 *
 * Why       Whoever tests against a tenant wants their own people in it.
 * Promise   A file that is read gives a whole tenant with an id for everything; errors name the line.
 * Owns      Nothing.
 * Refuses   Unknown words, values the switches do not know, a tenant without people or registrations: FAULT_MALFORMED and a text.
 * See       twin_config_preset() for the format: a word and its value on each line; `user`, `app`, `service` and `connector` begin one, the
 *           lines behind say about it; a `refresh_token` of a user is one that some program has already */
#pragma once
#include "twin/twin_tenant.h"

enum { TWIN_CONFIG_BYTES = 256 * 1024, TWIN_WHY_BYTES = 256 };

/* What the file says besides the tenant; 0 where it says nothing. */
struct twin_config {
	struct twin_tenant *tenant;
	int64_t smtp_port, mx_port, http_port, https_port, google_port, google_tls_port;
};

/* The tenant that there is without a file, as the text of one. */
struct span twin_config_preset(void);

/* Reads the text into `config->tenant`, which must be empty. */
MUST_CHECK enum fault twin_config_read(struct twin_config *config, struct span text, char why_out[TWIN_WHY_BYTES]);
