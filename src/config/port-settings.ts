import { z } from 'zod';
import { allOrNone, optional, setting } from '#src/config/setting.ts';
import { duration, fieldName, integer, list, network, origin } from '#src/config/setting-types.ts';

const port = integer(0, 65_535);

/** Of the public port and the operators' port: addresses, clients, connections. */
export const PORT_SETTINGS = {
  listen: {
    host: setting('HOST', z.string(), '127.0.0.1', 'Address of the public port; 0.0.0.0 or :: for all.'),
    port: setting(
      'PORT',
      port,
      '8080',
      'The public port: Connect, gRPC and gRPC-Web over HTTP/1.1 and HTTP/2. 0 picks a free one.',
    ),
  },
  admin: {
    host: setting('ADMIN_HOST', z.string(), '127.0.0.1', 'Address of the port for operators. Never make it public.'),
    port: setting(
      'ADMIN_PORT',
      port,
      '9090',
      'The port for operators: /livez, /readyz, /metrics and more. 0 picks a free one.',
    ),
    token: optional(
      'ADMIN_TOKEN',
      z.string().min(16, 'is shorter than 16 characters'),
      'Who asks the port for operators for more than probes and metrics has to send it, as authorization: Bearer TOKEN. Unset: nobody has to where ADMIN_HOST is a loopback address, and nobody gets more where it is not.',
    ),
  },
  readinessRequiresDatabase: setting(
    'READINESS_REQUIRES_DATABASE',
    z.stringbool('is neither true nor false'),
    'false',
    'Whether an instance whose database is down is not ready at once. By default it stays ready for as long as it can serve from its cache (CACHE_STALE_IF_ERROR): where all instances have one database, there is no better one to send calls to.',
  ),
  tls: allOrNone({
    certFile: optional(
      'TLS_CERT',
      z.string(),
      'PEM file with the certificate chain. With TLS_KEY the public port speaks TLS only.',
    ),
    keyFile: optional('TLS_KEY', z.string(), 'PEM file with the key of TLS_CERT.'),
  }),
  corsOrigins: setting(
    'CORS_ORIGINS',
    list(origin),
    '',
    'Comma-separated origins whose pages may call from a browser; * for any. None: no page of another origin may.',
  ),
  corsFields: {
    allow: setting(
      'CORS_ALLOW_HEADERS',
      list(fieldName),
      '',
      'Comma-separated request fields that these pages may send, beside those that the service and its protocols read, such as those that a proxy in front reads.',
    ),
    expose: setting(
      'CORS_EXPOSE_HEADERS',
      list(fieldName),
      '',
      'Comma-separated response fields that these pages may read, beside those that the service sends, such as those that a proxy in front adds.',
    ),
  },
  proxies: {
    trusted: setting(
      'TRUSTED_PROXIES',
      list(network),
      '',
      'Comma-separated CIDRs or addresses of the proxies in front, such as 10.0.0.0/8. Only they may name the client of a call (X-Forwarded-For, Forwarded), for the log and for limits per address. None: the fields are ignored.',
    ),
    field: optional(
      'FORWARDED_FIELD',
      z.enum(['x-forwarded-for', 'forwarded'], 'must be x-forwarded-for or forwarded'),
      'The one of the two fields that your trusted proxies set. Name it if that is Forwarded: a client may send the other one. Unset: X-Forwarded-For, or Forwarded where a call has no X-Forwarded-For.',
    ),
    protocol: setting(
      'PROXY_PROTOCOL',
      z.stringbool('must be true or false'),
      'false',
      'Whether each connection to the public port begins with a PROXY header (version 1 or 2), before TLS too, as TCP load balancers send it. With TRUSTED_PROXIES, only theirs are taken; without, whoever reaches the port may claim any address. Other connections are reset.',
    ),
  },
  connections: {
    max: setting(
      'CONNECTIONS_MAX',
      integer(0, 1_000_000),
      '10000',
      'The most open connections of the public port; further ones are reset. 0: no limit.',
    ),
    perAddress: setting(
      'CONNECTIONS_PER_ADDRESS',
      integer(0, 1_000_000),
      '2000',
      'The most of them from one address, or one IPv6 network (/64), so that none can take them all. Proxies in TRUSTED_PROXIES have no such limit; it holds for the calls in flight of each of their clients. New ones are refused for 1 to 10 s after three connections from there were ended for floods of HTTP/2 frames within 10 s. 0: neither, for a balancer that hides addresses.',
    ),
    maxAgeMs: setting(
      'CONNECTION_MAX_AGE',
      duration('0ms', '24h'),
      '30min',
      'Its client is told to open a new connection after this, give or take a tenth by chance, so that clients spread over new instances. Calls end as they would; streams are cut off DEADLINE_MAX later. 0ms: never.',
    ),
    idleTimeoutMs: setting(
      'CONNECTION_IDLE_TIMEOUT',
      duration('1s', '24h'),
      '620s',
      'An HTTP/1.1 connection is closed when no request came for this long; answers announce it (Keep-Alive). It must be longer than the idle timeout of the load balancer in front, or some of its requests meet a closed connection. Google keeps connections for 600 s, others for 60 s or less.',
    ),
  },
};
