/** connect-node as its documentation shows it: the adapter on Node's own server. `--http2`: on an HTTP/2 server. */
import http from 'node:http';
import http2 from 'node:http2';
import { parseArgs } from 'node:util';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { listenAndAnnounce } from './announce.ts';
import { inMemoryPosts } from './in-memory-posts.ts';

const { values } = parseArgs({ options: { http2: { type: 'boolean', default: false } } });
const handle = connectNodeAdapter({
  routes: router => router.service(PostService, inMemoryPosts({ frozen: false })),
  // By default it compresses answers from 1 KiB on, which would cost it half of its speed here.
  compressMinBytes: 64 * 1024,
});
await listenAndAnnounce(
  values.http2 ? http2.createServer(handle) : http.createServer({ keepAliveTimeout: 65_000 }, handle),
);
