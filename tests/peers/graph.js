// Clients nobody of this project wrote: Microsoft's own sign-in library (MSAL) and Graph library, against the simulated tenant.
//
// usage: node graph.js '{"url": "https://localhost:3444", "tenant": "contoso.example", "client_id": "...", "flow": "code|device|secret|certificate", ...}'
//
// Signs in by the flow, then does what `work` says, with lines of JSON on standard output: what the person has to open ("open"), then the answers.
// The twin's CA is trusted by NODE_EXTRA_CA_CERTS. A file of random-looking bytes is made from `size`, the same for the same size.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { ConfidentialClientApplication, PublicClientApplication } from '@azure/msal-node';
import graph from '@microsoft/microsoft-graph-client';

const { Client, FileUpload, LargeFileUploadTask } = graph;
const given = JSON.parse(process.argv[2]);
const host = new URL(given.url).host;
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const delegated = ['https://graph.microsoft.com/Mail.Send', 'https://graph.microsoft.com/Mail.ReadWrite'];
const forItself = ['https://graph.microsoft.com/.default'];
const auth = { clientId: given.client_id, authority: `${given.url}/${given.tenant}`, knownAuthorities: [host], protocolMode: 'AAD' };

// The browser comes back here, and the code with it.
const arrival = (listening) =>
  new Promise((resolve) => {
    const server = createServer((request, response) => {
      const query = new URL(request.url, 'http://localhost').searchParams;
      response.end('You may close this page.');
      if (!query.has('code') && !query.has('error')) return;
      server.close();
      resolve(query.get('code'));
    });
    server.listen(0, '127.0.0.1', () => listening(`http://localhost:${server.address().port}`));
  });

const flows = {
  async code() {
    const client = new ConfidentialClientApplication({ auth: { ...auth, clientSecret: given.secret } });
    const { verifier, challenge } = { verifier: given.verifier, challenge: createHash('sha256').update(given.verifier).digest('base64url') };
    let redirectUri;
    const code = await arrival(async (address) => {
      redirectUri = address;
      const open = await client.getAuthCodeUrl({ scopes: delegated, redirectUri, codeChallenge: challenge, codeChallengeMethod: 'S256', loginHint: given.user });
      say({ open });
    });
    return client.acquireTokenByCode({ code, scopes: delegated, redirectUri, codeVerifier: verifier });
  },
  async device() {
    const client = new PublicClientApplication({ auth });
    return client.acquireTokenByDeviceCode({ scopes: delegated, deviceCodeCallback: (answer) => say({ open: answer.verificationUri, code: answer.userCode }) });
  },
  async secret() {
    const client = new ConfidentialClientApplication({ auth: { ...auth, clientSecret: given.secret } });
    return client.acquireTokenByClientCredential({ scopes: forItself });
  },
  async certificate() {
    const clientCertificate = { [given.thumbprint_name]: given.thumbprint, privateKey: readFileSync(given.key, 'utf8') };
    const client = new ConfidentialClientApplication({ auth: { ...auth, clientCertificate } });
    return client.acquireTokenByClientCredential({ scopes: forItself });
  },
};

const file = (size) => {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8)) & 255;
  return bytes;
};

const works = {
  // One message as JSON.
  async json(client) {
    const message = {
      subject: given.subject,
      body: { contentType: 'Text', content: 'Dear reader,\n\nthat is all.\n' },
      toRecipients: [{ emailAddress: { address: 'someone@fabrikam.example' } }],
    };
    await client.api(`${given.mailbox}/sendMail`).post({ message, saveToSentItems: false });
    return {};
  },
  // One message as MIME.
  async mime(client) {
    await client.api(`${given.mailbox}/sendMail`).header('Content-Type', 'text/plain').post(readFileSync(given.mime).toString('base64'));
    return {};
  },
  // A draft with a large file, sent in ranges.
  async upload(client) {
    const draft = await client.api(`${given.mailbox}/messages`).post({
      subject: given.subject,
      body: { contentType: 'Text', content: 'attached' },
      toRecipients: [{ emailAddress: { address: 'someone@fabrikam.example' } }],
    });
    const bytes = file(given.size);
    const session = await LargeFileUploadTask.createUploadSession(client, `${given.mailbox}/messages/${draft.id}/attachments/createUploadSession`, {
      AttachmentItem: { attachmentType: 'file', name: 'large.bin', size: bytes.length, contentType: 'application/octet-stream' },
    });
    const task = new LargeFileUploadTask(client, new FileUpload(bytes, 'large.bin', bytes.length), session, { rangeSize: 3 * 320 * 1024 });
    const result = await task.upload();
    await client.api(`${given.mailbox}/messages/${draft.id}/send`).post({});
    return { location: result.location, digest: createHash('sha256').update(bytes).digest('hex') };
  },
  // What stands in Sent Items under that Message-ID.
  async sent(client) {
    const found = await client.api(`${given.mailbox}/mailFolders/sentitems/messages`).filter(`internetMessageId eq '${given.message_id}'`).get();
    return { count: found.value.length };
  },
};

try {
  const token = await flows[given.flow]();
  say({ token: true, account: token.account?.username ?? null, expires: token.expiresOn > new Date() });
  const client = Client.init({ baseUrl: given.url, customHosts: new Set(['localhost']), authProvider: (done) => done(null, token.accessToken) });
  for (const work of given.work) say({ work, ...(await works[work](client)) });
} catch (error) {
  say({ error: error.errorCode ?? error.code ?? String(error), status: error.statusCode ?? null, message: error.message });
  process.exitCode = 1;
}
