import { describe, expect, it } from 'vitest';
import { formatSummary, summarize } from '#conformance/summary.ts';

/** As the runner prints it. */
const OUTPUT = [
  'Computed 5 test case permutation(s) across 4 server configuration(s).',
  'Running 496 tests with reference client for server config {HTTP_VERSION_1, PROTOCOL_CONNECT, TLS:false}...',
  'Running 508 tests with reference client for server config {HTTP_VERSION_2, PROTOCOL_GRPC, TLS:true}...',
  'Running 390 tests with reference client for server config {HTTP_VERSION_1, PROTOCOL_GRPC_WEB, TLS:false}...',
  'Running 180 tests with reference client (grpc) for server config {HTTP_VERSION_2, PROTOCOL_GRPC, TLS:false}...',
  'FAILED: Basic/HTTPVersion:2/Protocol:PROTOCOL_GRPC/Codec:CODEC_JSON/Compression:COMPRESSION_BR/TLS:true/unary/success:',
  '\tactual error contain 1 details; expecting 0',
  'FAILED: gRPC-Web Unexpected Requests/HTTPVersion:1/TLS:false/unexpected-verb was expected to fail but did not',
  'FAILED: Connect to HTTP Code Mapping/HTTPVersion:1/TLS:false/unary:',
];

describe('The summary of a conformance run', () => {
  it('counts cases and failures by protocol', () => {
    expect(Object.fromEntries(summarize(OUTPUT).protocols)).toEqual({
      Connect: { cases: 496, failed: 1 },
      gRPC: { cases: 688, failed: 1 },
      'gRPC-Web': { cases: 390, failed: 1 },
    });
  });

  it('names the cases that failed', () => {
    expect(summarize(OUTPUT).failed).toEqual([
      'Basic/HTTPVersion:2/Protocol:PROTOCOL_GRPC/Codec:CODEC_JSON/Compression:COMPRESSION_BR/TLS:true/unary/success',
      'gRPC-Web Unexpected Requests/HTTPVersion:1/TLS:false/unexpected-verb',
      'Connect to HTTP Code Mapping/HTTPVersion:1/TLS:false/unary',
    ]);
  });

  it('is a table', () => {
    expect(formatSummary(summarize(OUTPUT.slice(1, 6)))).toBe(
      [
        'protocol   cases  passed  failed',
        'Connect      496     496       0',
        'gRPC         688     687       1',
        'gRPC-Web     390     390       0',
      ].join('\n'),
    );
  });
});
