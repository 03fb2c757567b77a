import { createForwardedClient, type ForwardedField } from '#src/http/clients/forwarded-client.ts';
import type { TrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { networkOf } from '#src/http/guards/connection-limits.ts';
import { REJECTIONS, type Rejection } from '#src/rpc/rejection.ts';
import type { CallRecord } from '#src/wire/call-record.ts';

/** Identifies the clients behind trusted proxies. */
export interface ClientCalls {
  /**
   * Records the client address of a call that came from a trusted proxy.
   *
   * @param fields of the request: names and values alternate.
   */
  readonly identify: (call: CallRecord, fields: readonly string[]) => void;
  /**
   * Counts an identified call until it ends, or refuses it if its client has too many in flight. Must be called at most once for each
   * call, and the call must end.
   */
  readonly admit: (call: CallRecord) => Rejection | undefined;
}

export interface ClientCallsOptions {
  readonly isTrusted: TrustedProxies;
  /** The field in which proxies name their clients; unset: as for createForwardedClient. */
  readonly field?: ForwardedField | undefined;
  /** The most calls in flight of one address, or one IPv6 network of 64 bits; 0: no limit. */
  readonly perAddress: number;
}

/**
 * The limit per address for clients that share the connections of a proxy. The number is that for connections, because over HTTP/1.1 a
 * direct client needs a connection for each concurrent call.
 *
 * A trusted proxy itself has no limit. Its health checks, and clients that it does not name, are never refused as a group.
 */
export function createClientCalls({ isTrusted, field, perAddress }: ClientCallsOptions): ClientCalls {
  const clientOf = createForwardedClient(isTrusted, field);
  const inFlight = new Map<string, number>();

  return {
    identify(call, fields) {
      call.remoteAddress = clientOf(call.remoteAddress, fields);
    },
    admit(call) {
      const { remoteAddress } = call;
      if (perAddress === 0 || isTrusted(remoteAddress)) return undefined;
      const network = networkOf(remoteAddress);
      const before = inFlight.get(network) ?? 0;
      if (before >= perAddress) return REJECTIONS.tooManyCalls;
      inFlight.set(network, before + 1);
      call.release = () => {
        call.release = undefined;
        const left = (inFlight.get(network) ?? 0) - 1;
        if (left > 0) inFlight.set(network, left);
        else inFlight.delete(network);
      };
      return undefined;
    },
  };
}
