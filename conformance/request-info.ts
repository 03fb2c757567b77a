import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import type { ConformancePayload_RequestInfoSchema } from './gen/connectrpc/conformance/v1/service_pb.js';

export type RequestInfo = MessageInitShape<typeof ConformancePayload_RequestInfoSchema>;

/** What the server saw of a call: its header, its deadline, its messages, and its query where it came by GET. */
export function requestInfo(context: HandlerContext, requests: readonly Any[]): RequestInfo {
  const timeoutMs = context.timeoutMs();
  return {
    requestHeaders: Array.from(context.requestHeader, ([name, value]) => ({ name, value: [value] })),
    ...(timeoutMs === undefined ? {} : { timeoutMs: BigInt(timeoutMs) }),
    requests: [...requests],
    ...(context.requestMethod === 'GET' ? { connectGetInfo: { queryParams: queryParams(context.url) } } : {}),
  };
}

function queryParams(url: string) {
  return Array.from(new URL(url).searchParams, ([name, value]) => ({ name, value: [value] }));
}
