import { z } from 'zod';
import { allOrNone, optional, setting } from '#src/config/setting.ts';
import { duration, fieldName, integer, list, network, origin } from '#src/config/setting-types.ts';

const port = integer(0, 65_535);

/** Settings of the public port and the admin port: addresses, browsers, proxies, connections. */
export const PORT_SETTINGS = {
  listen: {
    host: setting('HOST', z.string(), '127.0.0.1', 'Address of the public port. Use 0.0.0.0 or :: for all interfaces.'),
    port: setting(
      'PORT',
      port,
      '8080',
      'The public port. It serves Connect, gRPC and gRPC-Web over HTTP/1.1 and HTTP/2. 0 picks a free port.',
    ),
  },
  admin: {
    host: setting('ADMIN_HOST', z.string(), '127.0.0.1', 'Address of the admin port. Never make it public.'),
    port: setting(
      'ADMIN_PORT',
      port,
      '9090',
      'The admin port, for operators: /livez, /readyz, /metrics and more. 0 picks a free port.',
    ),
    token: optional(
      'ADMIN_TOKEN',
      z.string().min(16, 'must have at least 16 characters'),
      'Bearer token, of at least 16 characters, required for every admin endpoint except probes and metrics. If unset, those endpoints are open on a loopback ADMIN_HOST and disabled otherwise.',
    ),
  },
  readinessRequiresDatabase: setting(
    'READINESS_REQUIRES_DATABASE',
    z.stringbool('must be true or false'),
    'false',
    'Whether an instance is unready as soon as its database is down. By default it stays ready while it can serve from its cache (CACHE_STALE_IF_ERROR), because other instances usually have the same database.',
  ),
  tls: allOrNone({
    certFile: optional(
      'TLS_CERT',
      z.string(),
      'PEM file with the certificate chain. With TLS_CERT and TLS_KEY the public port accepts only TLS.',
    ),
    keyFile: optional('TLS_KEY', z.string(), 'PEM file with the private key of TLS_CERT.'),
  }),
  corsOrigins: setting(
    'CORS_ORIGINS',
    list(origin),
    '',
    'Comma-separated origins whose pages may call from a browser; * allows any. If unset, only pages of the same origin may.',
  ),
  corsFields: {
    allow: setting(
      'CORS_ALLOW_HEADERS',
      list(fieldName),
      '',
      'Comma-separated request headers that these pages may also send, such as those that a proxy in front reads. Headers of the service and its protocols are always allowed.',
    ),
    expose: setting(
      'CORS_EXPOSE_HEADERS',
      list(fieldName),
      '',
      'Comma-separated response headers that these pages may also read, such as those that a proxy in front adds. Headers of the service are always exposed.',
    ),
  },
  proxies: {
    trusted: setting(
      'TRUSTED_PROXIES',
      list(network),
      '',
      'Comma-separated CIDRs or addresses of the proxies in front, such as 10.0.0.0/8. Only they may name the client of a call (X-Forwarded-For, Forwarded), for the log and for limits per address. If unset, both headers are ignored.',
    ),
    field: optional(
      'FORWARDED_FIELD',
      z.enum(['x-forwarded-for', 'forwarded'], 'must be x-forwarded-for or forwarded'),
      'The header that your trusted proxies set: x-forwarded-for or forwarded. Set it if they set Forwarded, because a client can send the other one. If unset, X-Forwarded-For is read, or Forwarded when a call has no X-Forwarded-For.',
    ),
    protocol: setting(
      'PROXY_PROTOCOL',
      z.stringbool('must be true or false'),
      'false',
      'Whether each connection to the public port must begin with a PROXY header (version 1 or 2), before TLS too. TCP load balancers send it. With TRUSTED_PROXIES, only theirs are accepted and other connections are reset. Without, any peer of the port can claim any address.',
    ),
  },
  connections: {
    max: setting(
      'CONNECTIONS_MAX',
      integer(0, 1_000_000),
      '10000',
      'Maximum number of open connections on the public port. Further ones are reset. 0 sets no limit.',
    ),
    perAddress: setting(
      'CONNECTIONS_PER_ADDRESS',
      integer(0, 1_000_000),
      '2000',
      'Maximum number of connections from one address or one IPv6 network (/64). Proxies in TRUSTED_PROXIES have no such limit; it bounds the calls in flight of each of their clients instead. An address is also refused for 1 to 10 s after three of its connections were closed for HTTP/2 floods within 10 s. 0 turns both off, for a balancer that hides addresses.',
    ),
    maxAgeMs: setting(
      'CONNECTION_MAX_AGE',
      duration('0ms', '24h'),
      '30min',
      'After this time, varied by up to a tenth, the client is told to reconnect, so that clients spread over new instances. Calls may finish; streams are cut off DEADLINE_MAX later. 0ms sets no limit.',
    ),
    idleTimeoutMs: setting(
      'CONNECTION_IDLE_TIMEOUT',
      duration('1s', '24h'),
      '620s',
      'An HTTP/1.1 connection closes after this time without a request. Keep-Alive announces it. It must be longer than the idle timeout of the load balancer in front, or some requests meet a closed connection. The default suits Google, which keeps connections for 600 s; others keep them for 60 s or less.',
    ),
  },
};
