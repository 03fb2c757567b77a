import type { DescMethodUnary, Message } from '@bufbuild/protobuf';
import type { ConnectError } from '@connectrpc/connect';
import type { TimerWheel } from '#src/async/timer-wheel.ts';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import type { CallRecord } from '#src/wire/call-record.ts';
import type { Compressor } from '#src/wire/compressor.ts';

/** What all unary calls share. */
export interface UnarySettings extends UnaryHooks {
  /** The most bytes of a request message, as sent and as inflated. */
  readonly readMaxBytes: number;
  /** The most bytes of a response message. */
  readonly writeMaxBytes: number;
  readonly compressor: Compressor;
  /** What large answers take. */
  readonly largeAnswers: ByteBudget;
  /** The names of the encodings that requests may be compressed with. */
  readonly encodings: readonly string[];
  /** Inflates a request; rejects with a ConnectError what is too large or no such format. */
  readonly decompress: (name: string, bytes: Uint8Array) => Promise<Uint8Array>;
  readonly deadlines: TimerWheel;
  /** How long a request's body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** The calls that have not settled. */
  readonly running: Set<{ abort(reason: ConnectError): void }>;
}

/** What is done with every call outside of its handler. */
export interface UnaryHooks {
  /** Throws where the call is not to be served now. `field` gives a field of the request's header by its name in lower case. */
  admit(method: DescMethodUnary, field: (name: string) => string | undefined): void;
  /** Validates a request; throws where it breaks a rule. */
  check(method: DescMethodUnary, message: Message): void;
  /** The call is about to be answered with a message. */
  succeeded(record: CallRecord): void;
  /**
   * Makes the client's error of what the validation or the handler has thrown.
   *
   * @param aborted why the call ended before its handler was done: its deadline, its client, the shutdown.
   */
  failed(record: CallRecord, error: unknown, aborted: ConnectError | undefined): ConnectError;
  /** Makes the client's error of one that arose while the request was read. */
  unreadable(record: CallRecord, error: ConnectError): ConnectError;
}
