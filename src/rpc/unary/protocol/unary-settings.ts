import type { DescMethodUnary, Message } from '@bufbuild/protobuf';
import type { ConnectError } from '@connectrpc/connect';
import type { TimerWheel } from '#src/async/timer-wheel.ts';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import type { CallRecord } from '#src/wire/call-record.ts';
import type { Compressor } from '#src/wire/compressor.ts';

/** The settings and state that all unary calls share. */
export interface UnarySettings extends UnaryHooks {
  /** The most bytes of a request message, as sent and as inflated. */
  readonly readMaxBytes: number;
  /** The most bytes of a response message. */
  readonly writeMaxBytes: number;
  readonly compressor: Compressor;
  /** The memory budget of large answers. */
  readonly largeAnswers: ByteBudget;
  /** The accepted encodings of requests. */
  readonly encodings: readonly string[];
  /** Inflates a request. Rejects with a ConnectError if it is too large or not in that format. */
  readonly decompress: (name: string, bytes: Uint8Array) => Promise<Uint8Array>;
  readonly deadlines: TimerWheel;
  /** How long a request's body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** Calls that have not settled yet. */
  readonly running: Set<{ abort(reason: ConnectError): void }>;
}

/** The stages of a call outside its handler. */
export interface UnaryHooks {
  /** Throws if the call must not be served now. `field` gives a header field of the request by its name in lower case. */
  admit(method: DescMethodUnary, field: (name: string) => string | undefined): void;
  /** Validates a request. Throws if it breaks a rule. */
  check(method: DescMethodUnary, message: Message): void;
  /** Records the success of a call, before its message is sent. */
  succeeded(record: CallRecord): void;
  /**
   * Records a failure, and translates the error of the validation or the handler.
   *
   * @param aborted why the call ended before its handler did: its deadline, its client, the shutdown.
   */
  failed(record: CallRecord, error: unknown, aborted: ConnectError | undefined): ConnectError;
  /** Records a failure, and translates an error of reading the request. */
  unreadable(record: CallRecord, error: ConnectError): ConnectError;
}
