// A certified OpenID Connect provider, for the tests. Reads one JSON line from stdin:
//   {"port": 8080, "audience": "…", "keys": [JWK …], "clients": {"id": {claims …} …}}
// Each client gets access tokens (client credentials, RFC 9068) with its claims. Says "ready" on stdout when it
// listens, and ends with its stdin, so that none is left over.
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
const asked = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);

const provider = new Provider(`http://127.0.0.1:${asked.port}`, {
  jwks: { keys: asked.keys },
  clients: Object.keys(asked.clients).map((id) => ({
    client_id: id,
    client_secret: 'secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  extraTokenClaims: (ctx, token) => asked.clients[token.clientId],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => asked.audience,
      getResourceServerInfo: () => ({
        scope: '',
        audience: asked.audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: asked.ttl ?? 300,
        jwt: { sign: { alg: asked.algorithm ?? 'RS256' } },
      }),
    },
  },
});
provider.listen(asked.port, '127.0.0.1', () => console.log('ready'));
