/** grpc-js with the .proto loaded at run time, as its documentation shows it. */
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import { SAMPLE_POST } from '../sample-post.ts';
import { announce } from './announce.ts';

const ROOT = join(import.meta.dirname, '../../..');
const definition = await protoLoader.load('blog/v1/post_service.proto', {
  includeDirs: [join(ROOT, 'proto'), join(ROOT, 'vendor')],
});

const { id, slug, title, content, author, tags, publishTime, createTime, updateTime, etag } = SAMPLE_POST;
const times = {
  publishTime: toTimestamp(publishTime),
  createTime: toTimestamp(createTime),
  updateTime: toTimestamp(updateTime),
};
const answers = new Map([[id, { post: { id, slug, title, content, author, tags, ...times, etag } }]]);

const server = new grpc.Server();
server.addService(definition['blog.v1.PostService'] as grpc.ServiceDefinition, {
  async getPost(call: grpc.ServerUnaryCall<{ id: string }, unknown>, callback: grpc.sendUnaryData<unknown>) {
    const answer = answers.get(call.request.id);
    callback(answer === undefined ? { code: grpc.status.NOT_FOUND } : null, answer);
  },
});
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  announce(port);
});

function toTimestamp(date: Date = new Date(0)): { readonly seconds: number; readonly nanos: number } {
  const seconds = Math.floor(date.getTime() / 1000);
  return { seconds, nanos: (date.getTime() - seconds * 1000) * 1_000_000 };
}
