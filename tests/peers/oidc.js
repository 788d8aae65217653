// An identity provider nobody of this project wrote: oidc-provider, as strict as it can be set, with its own sign-in pages.
//
// usage: node oidc.js '{"port": 8080, "redirect_uri": "http://...", "client_id": "...", "client_secret": "..."}'
//
// Every name can sign in at its page; its address is NAME@contoso.example. Mail servers may ask about tokens at the introspection endpoint as
// `mail` with the password `mail`. SIGUSR1 makes it forget every access token, as an administrator's "revoke sessions" does. One line of JSON is printed for each event that a test may want to count.
import Provider from 'oidc-provider';

const given = JSON.parse(process.argv[2]);
const issuer = `http://localhost:${given.port}`;
const device = 'urn:ietf:params:oauth:grant-type:device_code';
const address = (name) => `${name}@contoso.example`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: given.client_id,
      client_secret: given.client_secret,
      redirect_uris: [given.redirect_uri],
      grant_types: ['authorization_code', 'refresh_token', device],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
    },
    {
      client_id: 'mail',
      client_secret: 'mail',
      redirect_uris: [],
      grant_types: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'mail' },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  // Each refresh token is good for one use; a second use revokes everything that came from the same consent.
  rotateRefreshToken: true,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  findAccount: (ctx, name) => ({
    accountId: name,
    claims: () => ({ sub: name, email: address(name), email_verified: true, name, preferred_username: name }),
  }),
  // The introspection answer names the mailbox, so that the mail server can hold it against the user of the sign-in.
  extraTokenClaims: (ctx, token) => (token.accountId ? { email: address(token.accountId) } : undefined),
  ttl: {
    AccessToken: 3600,
    AuthorizationCode: 60,
    DeviceCode: 300,
    Grant: 86400,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 86400,
  },
  cookies: { keys: ['a test needs no secret'] },
});

const say = (event, more = {}) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);

provider.on('grant.success', (ctx) => say('grant', { type: ctx.oidc.params.grant_type }));
provider.on('grant.error', (ctx, error) => say('grant_error', { type: ctx.oidc.params?.grant_type, error: error.error, why: error.error_description }));
provider.on('grant.revoked', () => say('revoked'));
provider.on('authorization.error', (ctx, error) => say('authorization_error', { error: error.error, why: error.error_description }));
provider.on('introspection.error', (ctx, error) => say('introspection_error', { error: error.error }));
provider.on('server_error', (ctx, error) => say('server_error', { why: String(error.stack) }));

// Shown to tests alone: what the real endpoint would have answered is not changed by it.
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === '/token/introspection') say('introspection', { active: ctx.body?.active, email: ctx.body?.email });
});

let given_out = [];
provider.on('access_token.saved', (token) => given_out.push(token));
process.on('SIGUSR1', async () => {
  const gone = given_out;
  given_out = [];
  for (const token of gone) await token.destroy();
  say('access_tokens_forgotten', { count: gone.length });
});

provider.listen(given.port, '127.0.0.1', () => process.stdout.write(`ready ${issuer}\n`));
