import type { Config } from '#src/config/config.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { ByteBudget } from '#src/resilience/byte-budget.ts';
import { EventLoopDelay } from '#src/resilience/event-loop-delay.ts';
import { createLargeGarbage } from '#src/resilience/large-garbage.ts';
import { LoadShedder } from '#src/resilience/load-shedder.ts';

/** Protects the process itself: its event loop by shedding calls, and its memory by a budget for large answers. */
export class OverloadProtection implements Disposable {
  readonly shedder: LoadShedder;
  readonly largeAnswers: ByteBudget;
  readonly #loopDelay: EventLoopDelay;

  constructor(config: Pick<Config, 'overloadDelayMs' | 'responseBudgetBytes'>, metrics: Metrics) {
    const shedder = new LoadShedder({ targetMs: config.overloadDelayMs });
    const loopDelay = new EventLoopDelay(delayMs => shedder.observe(delayMs));
    const largeAnswers = new ByteBudget({
      maxBytes: config.responseBudgetBytes,
      now: () => performance.now(),
      onRefused: criticality => metrics.callShed('large-answers', criticality),
      onStalled: () => metrics.connectionEnded('STALLED'),
      onGivenBack: createLargeGarbage(),
    });
    metrics.readFrom({
      largeAnswerBytes: () => largeAnswers.taken,
      eventLoopDelaySeconds: () => loopDelay.ms / 1000,
      sheddingPressure: () => shedder.pressure,
    });
    this.shedder = shedder;
    this.largeAnswers = largeAnswers;
    this.#loopDelay = loopDelay;
  }

  [Symbol.dispose](): void {
    this.#loopDelay[Symbol.dispose]();
  }
}
