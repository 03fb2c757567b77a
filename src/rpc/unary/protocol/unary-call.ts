import type { Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { HeldBytes } from '#src/resilience/byte-budget.ts';
import { CRITICALITY_FIELD, parseCriticality } from '#src/resilience/criticality.ts';
import { CallContext } from '#src/rpc/unary/protocol/call-context.ts';
import type { AnswerMessage, UnaryResponse } from '#src/wire/http-exchange.ts';

/**
 * One unary call, which is also its handler's context. It settles once: with the handler's message, with an error, at its deadline, or when
 * the client is gone.
 */
export abstract class UnaryCall extends CallContext {
  /** Its slot in the timer wheel. */
  wheelTick = -1;
  /** The memory that its answer has taken; undefined for a small answer. */
  #held: HeldBytes | undefined;
  #encoded: AnswerMessage | undefined;
  #requestRead = false;
  #settled = false;

  /** Starts the call and its deadline, and reads its body. */
  readBody(): void {
    const { readMaxBytes } = this.init.settings;
    this.watch(this.init.settings.bodyTimeoutMs);
    this.init.httpExchange.readBody(readMaxBytes + this.framingBytes, body => {
      this.#requestRead = true;
      if (this.#settled) return;
      if (body === undefined) this.refuse(tooLarge(readMaxBytes));
      else this.receive(body);
    });
  }

  /** From now on, the deadline, a departed client and the shutdown end the call. */
  protected watch(bodyTimeoutMs: number): void {
    const { settings, httpExchange, timeoutMs } = this.init;
    settings.running.add(this);
    httpExchange.onGone(() => this.#leave());
    const firstMs = Math.min(timeoutMs ?? Number.POSITIVE_INFINITY, bodyTimeoutMs);
    if (firstMs < Number.POSITIVE_INFINITY) settings.deadlines.add(this, firstMs, this.init.record.startedAt);
  }

  /** Inflates the request's message, and continues with `parse`. */
  protected decompress(name: string, bytes: Buffer): void {
    this.init.settings.decompress(name, bytes).then(
      inflated => this.parse(Buffer.from(inflated.buffer, inflated.byteOffset, inflated.length)),
      error => this.refuse(error),
    );
  }

  /** Parses and validates the request's message, and calls the handler. A result that is known at once is sent in the same tick. */
  protected parse(bytes: Buffer | string): void {
    if (this.#settled) return;
    const { settings, method, timeoutMs, record } = this.init;
    // The wheel turns every 10 ms, and later under load. No work begins after the deadline.
    if (timeoutMs !== undefined && performance.now() - record.startedAt >= timeoutMs) {
      this.expire();
      return;
    }
    let message: Message;
    try {
      if (bytes.length > settings.readMaxBytes) throw tooLarge(settings.readMaxBytes);
      message = method.parse(bytes, this.binary);
    } catch (error) {
      this.refuse(error);
      return;
    }
    try {
      settings.admit(method.method, this.requestField);
      settings.check(method.method, message);
      const result = method.invoke(message, this);
      if (!(result instanceof Promise)) this.#succeed(result);
      else {
        result.then(
          response => this.#succeed(response),
          error => this.fail(error),
        );
      }
    } catch (error) {
      this.fail(error);
    }
  }

  #succeed(response: object): void {
    if (this.#settled) return;
    const { method, settings } = this.init;
    const { compressor, writeMaxBytes } = settings;
    try {
      // Before it is encoded: many calls may have waited for the same answer, and most of them may be refused.
      const units = method.weigh(response);
      if (units >= LARGE_ANSWER_BYTES) this.#hold(2 * units);
      const encoded = method.encode(response, this.binary);
      this.#encoded = encoded;
      const { length, heldBytes } = encoded;
      if (length > writeMaxBytes) throw tooLarge(writeMaxBytes);
      if (heldBytes >= LARGE_ANSWER_BYTES && this.#held === undefined) this.#hold(heldBytes);
      const name = length < compressor.minBytes ? undefined : compressor.negotiate(this.acceptedEncodings);
      if (name === undefined) {
        this.sendMessage(encoded, undefined);
        return;
      }
      encoded.compressed(name, compressor).then(
        compressed => {
          if (!this.#settled) this.sendMessage(compressed ?? encoded, compressed && name);
        },
        error => this.fail(error),
      );
    } catch (error) {
      this.fail(error);
    }
  }

  /** An answer to a write must not be refused any more. @throws OverloadedError. */
  #hold(bytes: number): void {
    const { method, settings } = this.init;
    const criticality = parseCriticality(this.requestField(CRITICALITY_FIELD));
    const free = () => this.#encoded?.free();
    this.#held = settings.largeAnswers.take(bytes, criticality, { mustHave: !method.isSafe, free });
  }

  /** The client is gone, so no answer is made. That matters when calls are started and reset in floods. */
  #leave(): void {
    if (this.#settled) return;
    const { settings, record, httpExchange } = this.init;
    this.#settle();
    this.#held?.giveBack();
    this.abortSignal(CLIENT_GONE);
    settings.failed(record, CLIENT_GONE, CLIENT_GONE);
    record.end(undefined, httpExchange.bytesRead, 0, true);
  }

  #settle(): void {
    const { settings } = this.init;
    this.#settled = true;
    settings.running.delete(this);
    settings.deadlines.remove(this);
  }

  /** Ends the call for a reason other than its handler. */
  abort(reason: ConnectError): void {
    if (this.#settled) return;
    this.abortSignal(reason);
    this.fail(reason);
  }

  /** The timer wheel calls this at the deadline. */
  expire(): void {
    const { timeoutMs = Number.POSITIVE_INFINITY, settings } = this.init;
    const leftMs = timeoutMs - (performance.now() - this.init.record.startedAt);
    if (leftMs > 0 && this.#requestRead) {
      // The time limit was the body's, and the body has arrived.
      if (leftMs < Number.POSITIVE_INFINITY) settings.deadlines.add(this, leftMs, performance.now());
      return;
    }
    this.abort(new ConnectError('the operation timed out', Code.DeadlineExceeded));
  }

  /** Answers an unreadable request. */
  refuse(error: unknown): void {
    if (this.#settled) return;
    const { settings, record } = this.init;
    this.#answerError(settings.unreadable(record, ConnectError.from(error)));
  }

  protected fail(error: unknown): void {
    if (this.#settled) return;
    this.#answerError(this.init.settings.failed(this.init.record, error, this.abortReason));
  }

  /** Answers with an error. If it cannot be written, for example for a bad detail, it answers with another one. */
  #answerError(error: ConnectError): void {
    const { fields, settings, record } = this.init;
    const { length } = fields;
    try {
      this.sendError(error);
    } catch (fault) {
      fields.length = length;
      this.sendError(settings.failed(record, fault, undefined));
    }
  }

  /** Settles the call. */
  protected send(response: UnaryResponse): void {
    const { settings, httpExchange, record } = this.init;
    this.#settle();
    const held = this.#held;
    held?.sends(() => httpExchange.cut('stalled'));
    const ended = (bytesWritten: number, aborted: boolean) => {
      held?.giveBack();
      record.end(response.status, httpExchange.bytesRead, bytesWritten, aborted);
    };
    try {
      httpExchange.send(response, ended, () => held?.moved());
    } catch (error) {
      // A handler has set a field that HTTP does not allow. Half of a response may have left.
      settings.failed(record, error, undefined);
      httpExchange.cut('fault');
      ended(0, true);
    }
  }

  /** Whether messages are binary protobuf. Otherwise they are JSON. */
  protected abstract readonly binary: boolean;

  /** The most bytes that the protocol adds to a message. */
  protected abstract readonly framingBytes: number;

  /** The encodings that the client accepts. */
  protected abstract readonly acceptedEncodings: string | undefined;

  /** The body has arrived. */
  protected abstract receive(body: Buffer): void;

  /** @param encoding the compression of the message. */
  protected abstract sendMessage(message: AnswerMessage, encoding: string | undefined): void;

  protected abstract sendError(error: ConnectError): void;
}

/** RESOURCE_EXHAUSTED, for a message of either direction. */
export function tooLarge(maxBytes: number): ConnectError {
  return new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

/** From this size in bytes, an answer takes its memory from the budget. */
export const LARGE_ANSWER_BYTES = 64 * 1024;

/** Shared by all calls: making it takes longer than the rest of a call that is started and reset. */
const CLIENT_GONE = new ConnectError('the client is gone', Code.Canceled);
