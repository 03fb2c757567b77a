import type { Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { HeldBytes } from '#src/resilience/byte-budget.ts';
import { CRITICALITY_FIELD, parseCriticality } from '#src/resilience/criticality.ts';
import { CallContext } from '#src/rpc/unary/protocol/call-context.ts';
import type { AnswerMessage, UnaryResponse } from '#src/wire/http-exchange.ts';

/**
 * One unary call, and at the same time the context that its handler gets. Whatever happens, it settles once: with the handler's
 * message, with an error, at its deadline, or when the client is gone.
 */
export abstract class UnaryCall extends CallContext {
  /** Of the deadline wheel. */
  wheelTick = -1;
  /** Memory that its answer has taken; undefined: it is a small one. */
  #held: HeldBytes | undefined;
  #encoded: AnswerMessage | undefined;
  #requestRead = false;
  #settled = false;

  /** Starts the call: its deadline runs, and its body is read. */
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

  /** From now on the deadline, a client that goes and the shutdown end the call. */
  protected watch(bodyTimeoutMs: number): void {
    const { settings, httpExchange, timeoutMs } = this.init;
    settings.running.add(this);
    httpExchange.onGone(() => this.#leave());
    const firstMs = Math.min(timeoutMs ?? Number.POSITIVE_INFINITY, bodyTimeoutMs);
    if (firstMs < Number.POSITIVE_INFINITY) settings.deadlines.add(this, firstMs, this.init.record.startedAt);
  }

  /** Inflates the request's message, then goes on with `parse`. */
  protected decompress(name: string, bytes: Buffer): void {
    this.init.settings.decompress(name, bytes).then(
      inflated => this.parse(Buffer.from(inflated.buffer, inflated.byteOffset, inflated.length)),
      error => this.refuse(error),
    );
  }

  /** Parses the request's message, validates it and has it handled. What is known at once is answered in the same tick. */
  protected parse(bytes: Buffer | string): void {
    if (this.#settled) return;
    const { settings, method, timeoutMs, record } = this.init;
    // The wheel turns once in 10 ms, and later where there is much to do: no work is begun that nobody waits for.
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
      // Before it is encoded: many may have waited for the same answer, and most of them be refused.
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

  /** What was written can't be refused any more. @throws OverloadedError. */
  #hold(bytes: number): void {
    const { method, settings } = this.init;
    const criticality = parseCriticality(this.requestField(CRITICALITY_FIELD));
    const free = () => this.#encoded?.free();
    this.#held = settings.largeAnswers.take(bytes, criticality, { mustHave: !method.isSafe, free });
  }

  /** The client is gone: there is nobody to make an answer for, which matters where calls are started and reset in floods. */
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

  /** The deadline wheel says that the time is over. */
  expire(): void {
    const { timeoutMs = Number.POSITIVE_INFINITY, settings } = this.init;
    const leftMs = timeoutMs - (performance.now() - this.init.record.startedAt);
    if (leftMs > 0 && this.#requestRead) {
      // It was the body's time that the wheel had, and the body is here.
      if (leftMs < Number.POSITIVE_INFINITY) settings.deadlines.add(this, leftMs, performance.now());
      return;
    }
    this.abort(new ConnectError('the operation timed out', Code.DeadlineExceeded));
  }

  /** Answers a request that can't be read. */
  refuse(error: unknown): void {
    if (this.#settled) return;
    const { settings, record } = this.init;
    this.#answerError(settings.unreadable(record, ConnectError.from(error)));
  }

  protected fail(error: unknown): void {
    if (this.#settled) return;
    this.#answerError(this.init.settings.failed(this.init.record, error, this.abortReason));
  }

  /** Answers with an error, or where it can't be written, such as for a bad detail, with one that can. */
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
      // A field that HTTP does not allow, which a handler has set. Half of a response may have left.
      settings.failed(record, error, undefined);
      httpExchange.cut('fault');
      ended(0, true);
    }
  }

  /** Whether messages are binary protobuf, or else JSON. */
  protected abstract readonly binary: boolean;

  /** Bytes that the protocol may add to a message. */
  protected abstract readonly framingBytes: number;

  /** The encodings that the client says it takes. */
  protected abstract readonly acceptedEncodings: string | undefined;

  /** The body is here. */
  protected abstract receive(body: Buffer): void;

  /** @param encoding what the message is compressed with. */
  protected abstract sendMessage(message: AnswerMessage, encoding: string | undefined): void;

  protected abstract sendError(error: ConnectError): void;
}

/** RESOURCE_EXHAUSTED, for a message of either direction. */
export function tooLarge(maxBytes: number): ConnectError {
  return new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

/** From so many bytes of memory on, an answer has to take them of the budget. */
export const LARGE_ANSWER_BYTES = 64 * 1024;

/** One for all calls: to make it takes longer than all else of a call that is started and reset. */
const CLIENT_GONE = new ConnectError('the client is gone', Code.Canceled);
