/** The same service with the libraries alone: connect-node on Node's own server, and plain Kysely over a pg Pool of 10. */
import http from 'node:http';
import { parseArgs } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { PostSchema } from '#gen/blog/v1/post_pb.js';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import type { Schema } from '#src/db/schema.ts';
import { listenAndAnnounce } from '../transport/servers/announce.ts';

const { values } = parseArgs({ options: { database: { type: 'string' } } });
const pool = new pg.Pool({ connectionString: values.database, max: 10 });
const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
const time = (date: Date | null) => (date === null ? undefined : timestampFromDate(date));
const handle = connectNodeAdapter({
  routes: router =>
    router.service(PostService, {
      async getPost({ key }) {
        const row = await db
          .selectFrom('posts')
          .selectAll()
          .where('id', '=', key.value ?? '')
          .executeTakeFirst();
        if (row === undefined) throw new ConnectError('no such post', Code.NotFound);
        const { id, slug, title, content, author, tags } = row;
        const times = {
          publishTime: time(row.publish_time),
          createTime: time(row.create_time),
          updateTime: time(row.update_time),
        };
        const post = { id, slug, title, content, author, tags, etag: String(row.revision) };
        return { post: create(PostSchema, { ...post, ...times } as never) };
      },
      async createPost({ post }) {
        const { title = '', slug = '', content = '', author = '', tags = [] } = post ?? {};
        const now = new Date();
        const id = uuidv7();
        await db
          .insertInto('posts')
          .values({ id, slug, title, content, author, tags, create_time: now, update_time: now })
          .execute();
        return { post: create(PostSchema, { id, slug, title, content, author, tags } as never) };
      },
    }),
  compressMinBytes: 64 * 1024,
});
await listenAndAnnounce(http.createServer({ keepAliveTimeout: 65_000 }, handle));
