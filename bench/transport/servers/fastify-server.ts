/**
 * Fastify as its documentation advises for speed: schemas for requests and answers, no request log. It serves the post in
 * JSON by a route of its own kind (GET /v1/posts/:id) and by Connect's POST, and in protobuf through a content type parser.
 */
import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import fastify from 'fastify';
import { GetPostRequestSchema, GetPostResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { SAMPLE_POST, samplePostResponse } from '../sample-post.ts';
import { announce } from './announce.ts';

const message = samplePostResponse();
const posts = new Map([[SAMPLE_POST.id, toJson(GetPostResponseSchema, message)]]);
const messages = new Map([[SAMPLE_POST.id, message]]);

const text = { type: 'string' } as const;
const answerSchema = {
  type: 'object',
  properties: {
    post: {
      type: 'object',
      properties: {
        ...Object.fromEntries(['id', 'slug', 'title', 'content', 'author', 'publishTime'].map(name => [name, text])),
        tags: { type: 'array', items: text },
        createTime: text,
        updateTime: text,
        etag: text,
      },
    },
  },
};
const idSchema = { type: 'object', required: ['id'], properties: { id: { type: 'string', format: 'uuid' } } };

const server = fastify({ logger: false, keepAliveTimeout: 65_000 });
server.addContentTypeParser('application/proto', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
server.get<{ Params: { id: string } }>(
  '/v1/posts/:id',
  { schema: { params: idSchema, response: { 200: answerSchema } } },
  async ({ params }) => posts.get(params.id),
);
server.post<{ Body: { id: string } | Uint8Array }>(
  '/blog.v1.PostService/GetPost',
  { schema: { body: { content: { 'application/json': { schema: idSchema } } }, response: { 200: answerSchema } } },
  async ({ body }, reply) => {
    if (!(body instanceof Uint8Array)) return posts.get(body.id);
    const found = messages.get(fromBinary(GetPostRequestSchema, body).key.value ?? '');
    reply.type('application/proto');
    return found && reply.send(Buffer.from(toBinary(GetPostResponseSchema, found)));
  },
);
announce(Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port));
