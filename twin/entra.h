/* twin/entra.h - the simulated Entra ID: discovery, keys, userinfo, authorize, token, device code.
 *
 * Why       Sign-in with a second factor is what the product is for; it has to be met in full on a laptop.
 * Promise   Paths, forms, redirects and JSON are those of the v2.0 endpoints. Refusals are those of the real one.
 * Owns      The codes that are waiting to be redeemed, at most ENTRA_CODES_MAX and ENTRA_DEVICES_MAX.
 * Refuses   With AADSTS numbers.
 * See       RFC 6749, 7636, 8628, OpenID Connect Core; tables/twin_errors.def */
#pragma once
#include "twin/entra_error.h"
#include "twin/twin_fault.h"
#include "twin/twin_token.h"

struct json_t;

enum { ENTRA_CODES_MAX = 64, ENTRA_DEVICES_MAX = 32, ENTRA_URL_BYTES = 2048, ENTRA_CODE_BYTES = 96 };

/* An authorization code that was given out. */
struct entra_code {
	char code[ENTRA_CODE_BYTES];
	char redirect_uri[ENTRA_URL_BYTES], challenge[TWIN_TEXT_BYTES], nonce[TWIN_ADDRESS_BYTES];
	struct twin_grant grant;
	int64_t until_ms;
	bool plain; /* code_challenge_method plain */
	bool used;
	bool is_google;  /* to be redeemed at Google's token endpoint */
	bool is_offline; /* with a refresh token */
};

enum entra_device_state { ENTRA_DEVICE_FREE, ENTRA_DEVICE_PENDING, ENTRA_DEVICE_APPROVED, ENTRA_DEVICE_DECLINED };

struct entra_device {
	enum entra_device_state state;
	char device_code[ENTRA_CODE_BYTES], user_code[16];
	struct twin_grant grant; /* before the approval: client and scope alone */
	int64_t until_ms;
};

struct entra {
	struct twin_tenant *tenant;
	const struct twin_keys *keys;
	char base_url[TWIN_ADDRESS_BYTES]; /* "http://localhost:3443" */
	char issuer[TWIN_ADDRESS_BYTES];
	struct entra_code codes[ENTRA_CODES_MAX];
	struct entra_device devices[ENTRA_DEVICES_MAX];
	size_t code_next, device_next;
	bool no_refresh; /* leave the refresh token out of the next answer: a script */
};

/* `base_url` is where browsers and clients reach it. */
void entra_init(struct entra *, struct twin_tenant *, const struct twin_keys *, const char *base_url);

/* Says where it is reached from now on, in addresses and as issuer. */
void entra_is_at(struct entra *, const char *base_url);

/* The stage that a path belongs to, so that its waits can be kept before entra_handle(); TWIN_STAGE_NONE when none. */
enum twin_stage entra_stage(struct span path);

/* Answers; false when the path is none of Entra's. */
bool entra_handle(struct entra *, const struct twin_request *, struct twin_response *);

/* A new token of random letters, as codes are: 43 of them. */
void entra_random_code(char out[ENTRA_CODE_BYTES], const char *head);

/* Answers with JSON, which it takes; and says another `error` in JSON that is there. */
void entra_answer_json(struct twin_response *, int status, struct json_t *);
void entra_error_rename(struct twin_response *, const char *error);

/* --- the parts; called by entra_handle() */

/* POST token. */
void entra_token(struct entra *, const struct twin_request *, struct twin_response *);

/* POST devicecode. */
void entra_devicecode(struct entra *, const struct twin_request *, struct twin_response *);

/* A code that was given out, or NULL; whether a verifier is the one that its challenge stands for. */
struct entra_code *entra_find_code(struct entra *, const char *text);
bool entra_challenge_holds(const struct entra_code *, struct span verifier);

/* Client id and secret of a token request, from the form or from a Basic header; empty where there is none. */
void entra_read_client(const struct twin_request *, char id_out[TWIN_TEXT_BYTES], char secret_out[TWIN_TEXT_BYTES]);

/* The device that a user code belongs to and that still waits, or NULL. Case and dashes are ignored. */
struct entra_device *entra_device_waiting(struct entra *, struct span user_code, int64_t wall_ms);

/* Whether a redirect address is registered: the same text, ports of localhost and 127.0.0.1 aside. */
bool entra_redirect_matches(const struct twin_app *, struct span redirect_uri);

/* The first resource of a scope list ("https://outlook.office.com"); Graph when only OpenID's are there. */
struct span entra_resource(struct span scopes);

/* 0, or 70011 when a scope is none that the resource has; `bad_out` is that scope. */
int entra_check_scopes(struct span scopes, struct span *bad_out);

/* Whether the scope asked for is one resource's `.default`, as an application must ask. */
bool entra_is_default(struct span scopes, struct span *resource_out);

/* Appends those of an application's roles that are the resource's. */
void entra_put_roles(struct buf *out, struct span roles, struct span resource);

/* Appends the scopes of one resource, in full or by their short names. */
void entra_put_scopes(struct buf *out, struct span scopes, struct span resource, bool in_full);
